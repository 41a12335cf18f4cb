"""Experience review: when to learn from the oldest part of the replay buffer again.

    NE-2   with the activated ratio f(t), measured every c updates, the slope is
           |f(t) - f(t - c)| / theta; a batch comes from the oldest share of the buffer
           if a uniform draw is above the slope, and from all of it otherwise

A network whose activations have stopped changing has stopped to fit new data well, and forgets the
old (Liu et al. 2025, section 4.3). The paper counts units and divides by c; its threshold is lost.
Here the ratio is compared with the threshold, which is the change per measurement at which nothing
is reviewed any more.
"""

from __future__ import annotations

from typing import final

from morphir_agents.errors import ConfigError

__all__ = ["Review"]


@final
class Review:
    """Decides batch by batch.

    Args:
        threshold: The change of the activated ratio between two measurements at which no batch is
            a review.
        share: The part of the buffer that is reviewed, counted from its oldest transition.
    """

    def __init__(self, threshold: float, share: float = 0.25) -> None:
        if threshold <= 0:
            raise ConfigError(f"review.threshold is {threshold}; expected more than 0.")
        if not 0 < share <= 1:
            raise ConfigError(f"review.share is {share}; expected above 0, at most 1.")
        self._threshold, self._share = threshold, share
        self.ratio: float | None = None
        """The activated ratio when it was last measured."""
        self.slope = 1.0
        """How likely a batch is no review; until two ratios were measured none is one."""

    def measured(self, ratio: float) -> None:
        """Takes note of the activated ratio."""
        if self.ratio is not None:
            self.slope = min(1.0, abs(ratio - self.ratio) / self._threshold)
        self.ratio = ratio

    def share(self, draw: float) -> float:
        """The part of the buffer that a batch comes from (NE-2).

        Args:
            draw: A uniform number in [0, 1).
        """
        return self._share if draw >= self.slope else 1.0
