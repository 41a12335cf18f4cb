"""Who is told what happens in a run: the log, the display, or nobody."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    from morphir_agents.envs import Episode
    from morphir_agents.evaluate import Evaluation
    from morphir_agents.growth import GrowthRecord
    from morphir_agents.methods import MethodEvent
    from morphir_agents.policy import Policy

__all__ = ["Observer", "Silent"]


class Observer(ABC):  # noqa: B024 - every method has a default, so that an observer overrides what it needs
    """Is called by `train` at each turn; by default it does nothing."""

    @property
    def stops(self) -> bool:
        """Whether the run should end at this grid point."""
        return False

    def begins(self, step: int, agent: Policy, resumed: bool) -> None:  # noqa: B027
        """The run starts, or continues from the checkpoint of a step."""

    def enters(self, step: int, task: str) -> None:  # noqa: B027
        """Of several tasks this one begins, or is continued."""

    def updated(  # noqa: B027
        self,
        step: int,
        update: int,
        episodes: Sequence[Episode],
        losses: Mapping[str, float],
        agent: Policy,
    ) -> None:
        """Steps were taken and learned from: a rollout, or as many as a row of the log covers."""

    def grew(self, record: GrowthRecord) -> None:  # noqa: B027
        """The network grew."""

    def acted(self, events: Sequence[MethodEvent]) -> None:  # noqa: B027
        """A method changed the networks."""

    def evaluated(self, step: int, outcome: Evaluation) -> None:  # noqa: B027
        """A policy was evaluated."""

    def settles(self, step: int) -> None:  # noqa: B027
        """A checkpoint is about to be written: what was told so far must be on disk."""

    def saved(self, step: int) -> None:  # noqa: B027
        """A checkpoint was written."""


@final
class Silent(Observer):
    """Hears nothing."""
