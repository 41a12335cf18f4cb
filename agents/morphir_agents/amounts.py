"""How many weights a network grows by, event by event.

    NE-3   of the n weights that may still be used a layer grows by floor(n * f(t)) at time t, with
           constant    f(t) = rate
           cosine      f(t) = rate / 2 * (1 + cos(pi * t / end))
           warm decay  f(t) = rate * t / warm for t < warm, then as cosine from warm on

    where f(t) = 0 from `end` on

Liu et al. 2025 (section 4.1) anneal by a cosine, as RigL does; their released code grows by a
constant share and by a cosine only once it is done growing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, final

from morphir_agents.errors import ConfigError

__all__ = ["Amount"]

Shape = Literal["constant", "cosine", "warm_decay"]


@final
@dataclass(frozen=True)
class Amount:
    """The share of a layer's unused weights that begin to be used at an event."""

    shape: Shape = "cosine"
    """How it changes over time."""
    rate: float = 0.008
    """The largest share."""
    end: int = 0
    """The step from which nothing grows; 0: the end of the run."""
    warm: int = 0
    """With warm_decay, the step until which it rises."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.rate <= 1.0:
            raise ConfigError(f"method.amount.rate is {self.rate}; expected between 0 and 1.")
        if self.end < 0:
            raise ConfigError(f"method.amount.end is {self.end}; expected 0 or more.")
        if self.warm < 0:
            raise ConfigError(f"method.amount.warm is {self.warm}; expected 0 or more.")
        if self.end and self.warm >= self.end:
            raise ConfigError(
                f"method.amount.warm is {self.warm:,}; expected less than {self.end:,}, the step "
                "from which nothing grows: method.amount.end, or the end of the run."
            )

    def ending(self, last_step: int) -> Amount:
        """The same in a run of so many steps, at the end of which it ends if nothing else is said.

        Raises:
            ConfigError: It would still rise at its end.
        """
        return replace(self, end=self.end or last_step)

    def share(self, step: int) -> float:
        """f(t) of NE-3."""
        if step >= self.end:
            return 0.0
        if self.shape == "constant":
            return self.rate
        warm = self.warm if self.shape == "warm_decay" else 0
        if step < warm:
            return self.rate * step / warm
        return self.rate / 2 * (1 + math.cos(math.pi * (step - warm) / (self.end - warm)))

    def count(self, unused: int, step: int) -> int:
        """How many of a layer's unused weights begin to be used (NE-3)."""
        return int(unused * self.share(step))
