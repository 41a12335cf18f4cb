"""ReDo (Sokar et al. 2023): dormant units start anew, every so many updates (REDO-1).

Whether Adam's count of steps should start anew as well is disputed: the authors' code keeps it, and
a reimplementation found that units die again unless it is reset. Both are here: it starts anew for
the parameters that have incoming or outgoing numbers of a unit that does.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from typing_extensions import override

import morphir
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.methods.base import Changing, MethodEvent, sampled
from morphir_agents.methods.dormant import has_dormant
from morphir_agents.methods.steps import restart_steps

if TYPE_CHECKING:
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Recycling"]


@final
class Recycling(Changing):
    """ReDo on actor and critics; targets follow as they always do."""

    @override
    def is_due(self, before: int, updates: int) -> bool:
        return crosses_grid(before, updates, self.config.method.every)

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        start, method = time.perf_counter(), self.config.method
        _, seen = sampled(trainer)
        if not has_dormant(trainer.agent, seen, method.threshold):
            return []
        recycling = morphir.RecycleDormantPass(
            {"act": seen[:1], "get_values": seen},
            at=trainer.agent.hidden,
            threshold=method.threshold,
            seed=self.seed(trainer),
        )
        events = self.change(trainer, "recycle", [recycling], seen, since=start)
        if method.adam_steps == "reset":
            restart_steps(trainer, self.renumbered)
        return events
