"""Reset (Nikishin et al. 2022): all networks start anew (RESET-1); the replay buffer is kept.

In a cycle of tasks the heads of all tasks start anew as well. Nothing is reset at the last step:
that would be a policy which has learned nothing.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from typing_extensions import override

import morphir
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.methods.base import Changing, MethodEvent, sampled
from morphir_agents.new_head import draw_head

if TYPE_CHECKING:
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Resetting"]


@final
class Resetting(Changing):
    """Draws actor and critics anew, with fresh optimizers and equal targets."""

    @override
    def is_due(self, before: int, updates: int) -> bool:
        ends = updates >= self.config.updates_by(self.config.last_step)
        return not ends and crosses_grid(before, updates, self.config.method.reset_every)

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        start = time.perf_counter()
        _, seen = sampled(trainer)
        reset = morphir.ResetPass(at=["actor", "critic1", "critic2"], seed=self.seed(trainer))
        events = self.change(trainer, "reset", [reset], seen, since=start)
        if self.config.cycle.tasks:
            self._draw_heads(trainer)
        trainer.agent.renew_targets()
        return events

    def _draw_heads(self, trainer: TD3Trainer) -> None:
        """Each task's columns and rows as for it alone, and nothing kept of what was put away."""
        for task in range(min(trainer.visit + 1, self.config.cycle.heads)):
            trainer.agent.select(task)
            draw_head(trainer.agent, self.seed(trainer), task)
        trainer.agent.select(trainer.task)
        trainer.moments.clear()
