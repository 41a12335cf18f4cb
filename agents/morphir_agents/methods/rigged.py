"""RigL (Evci et al. 2020): a sparse network of fixed density whose weights move.

RIGL-1   at an event floor(n * f(t)) of the n weights of a sparse layer that are in use, those
         of the smallest size, cease to be used, and as many begin to be, those with the largest
         dense gradients among all that are not in use then; they begin at 0
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

from typing_extensions import override

import morphir
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.methods.base import Changing, MethodEvent, sampled
from morphir_agents.methods.neuroplastic import begin_sparse
from morphir_agents.td3_learner import noise_for

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Rigged"]


@final
class Rigged(Changing):
    """RigL, with the amounts of `method.amount`."""

    def __init__(self, config: TD3RunConfig) -> None:
        super().__init__(config)
        self._amount = config.method.amount.ending(config.last_step)

    @override
    def begin(self, trainer: TD3Trainer) -> list[MethodEvent]:
        return begin_sparse(self, trainer)

    @override
    def is_due(self, before: int, updates: int) -> bool:
        return crosses_grid(before, updates, self.config.method.every)

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        start = time.perf_counter()
        used = {n: int(mask.sum()) for n, mask in morphir.Masks(trainer.agent).masks.items()}
        moved = {n: self._amount.count(each, trainer.step) for n, each in used.items()}
        moved = {n: count for n, count in moved.items() if count}
        if not moved:
            return []
        batch, seen = sampled(trainer)
        learner.leave_gradients(batch, noise_for(batch, trainer.generator))
        passes = [
            morphir.SparsifyPass(count={n: used[n] - count for n, count in moved.items()}),
            morphir.MaskGrowPass(count=moved),
        ]
        return self.change(trainer, "move", passes, seen, since=start)
