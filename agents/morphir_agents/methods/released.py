"""Neuroplastic Expansion as its released code runs, which is not what the paper says.

    NE-6   each group (the actor, or both critics) has events every so many of its updates. While it
           grows, a layer gains floor(0.008 n) weights by dense gradients, with n = 0.8 N minus
           what is in use at first, and before that loses floor(0.4 of these), the smallest in size;
           from a density of 0.75 on floor(a f) of its a weights move as in RigL, with
           f(t) = 0.1 (1 + cos(pi t / T)) and t, T counted in updates of the group

It is `NE/STL_Scheduler.py` of the repository, along the path that its options can reach. Sparse are
all layers, by the Erdos-Renyi rule, at a density of 0.2; no unit is ever dormant there, since its
scores are looked up under names that don't exist; nothing is reviewed by default. At each event of
the growing phase Adam's count of steps is set to 0 for the weights of the group; its moments stay.

Two things differ here: the code skips the optimizer's step at an event, and keeps the number of a
weight that it drops and takes back at once.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, final

import numpy as np
from typing_extensions import override

import morphir
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.methods.base import Changing, MethodEvent, sampled
from morphir_agents.methods.steps import restart_steps
from morphir_agents.td3_learner import noise_for

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Released"]

_DENSITY: Final = 0.2
_SPACE: Final = 0.8
_GROWS: Final = 0.008
_LOSES: Final = 0.4
_FULL: Final = 0.75
_MOVES: Final = 0.1


@final
class Released(Changing):
    """The released behaviour of Neuroplastic Expansion (NE-6)."""

    def __init__(self, config: TD3RunConfig) -> None:
        super().__init__(config)
        self._at_first: dict[str, int] = {}
        self._full_since: dict[str, int] = {}

    @override
    def begin(self, trainer: TD3Trainer) -> list[MethodEvent]:
        start = time.perf_counter()
        passes = [morphir.SparsifyPass(_DENSITY, at=at) for at in ("actor", ["critic1", "critic2"])]
        events = self.change(trainer, "sparsify", passes, self.example(trainer), since=start)
        trainer.agent.renew_targets()
        self._at_first = {n: int(m.sum()) for n, m in morphir.Masks(trainer.agent).masks.items()}
        return events

    @override
    def is_due(self, before: int, updates: int) -> bool:
        return crosses_grid(before, updates, self.config.method.every)

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        events = self._group(trainer, learner, "critic", trainer.updates)
        td3 = self.config.td3
        before, every = trainer.updates - td3.updates_per_step, self.config.method.every
        if crosses_grid(before, trainer.updates, every * td3.policy_delay):
            updates = trainer.updates // td3.policy_delay
            events += self._group(trainer, learner, "actor", updates)
        return events

    def _group(
        self, trainer: TD3Trainer, learner: TD3Learner, group: str, updates: int
    ) -> list[MethodEvent]:
        start = time.perf_counter()
        masks = {
            name: mask
            for name, mask in morphir.Masks(trainer.agent).masks.items()
            if name.startswith(group)
        }
        used = {name: int(mask.sum()) for name, mask in masks.items()}
        sizes = {name: mask.numel() for name, mask in masks.items()}
        grows = group not in self._full_since
        if grows:
            gained = {n: int(_GROWS * self._space(n, size)) for n, size in sizes.items()}
            lost = {n: int(_LOSES * count) for n, count in gained.items()}
        else:
            share = self.moving(group, updates)
            gained = {n: min(int(share * used[n]), sizes[n] - used[n]) for n in used}
            lost = gained
        batch, seen = sampled(trainer)
        learner.leave_gradients(batch, noise_for(batch, trainer.generator))
        passes = [
            morphir.SparsifyPass(count={n: used[n] - count for n, count in lost.items()}),
            morphir.MaskGrowPass(count=gained),
        ]
        kind = "grow" if grows else "move"
        events = self.change(trainer, kind, passes, seen, since=start)
        if grows:
            restart_steps(trainer, [*masks])
            if sum(int(mask.sum()) for mask in masks.values()) >= _FULL * sum(sizes.values()):
                self._full_since[group] = updates
        return events

    def _space(self, name: str, size: int) -> float:
        return max(0.0, _SPACE * size - self._at_first[name])

    def moving(self, group: str, updates: int) -> float:
        """The share of the weights of a group that move after so many of its updates (NE-6)."""
        end = self.config.updates_by(self.config.last_step)
        passed = min(updates - self._full_since[group], end)
        return _MOVES * (1 + math.cos(math.pi * passed / end))

    @override
    def state(self) -> dict[str, np.ndarray]:
        known = {f"at first {n}": np.array(count) for n, count in self._at_first.items()}
        return known | {f"full since {g}": np.array(t) for g, t in self._full_since.items()}

    @override
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        for key, value in state.items():
            what, _, name = key.rpartition(" ")
            (self._at_first if what == "at first" else self._full_since)[name] = int(value)
