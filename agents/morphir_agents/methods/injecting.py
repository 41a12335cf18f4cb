"""Plasticity Injection (Nikishin et al. 2023): both critics begin anew once, beside what they are.

It is about value networks in the paper, and those are what loses plasticity in actor-critic methods
(Ma et al. 2024): so the actor is left alone. The targets get the same fresh networks (INJECT-3).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, final

import torch
from typing_extensions import override

import morphir
from morphir_agents.methods.base import Changing, MethodEvent, Seen, sampled

if TYPE_CHECKING:
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Injecting"]


@final
class Injecting(Changing):
    """Freezes the critics and adds the difference of two equal fresh ones, of which one learns."""

    @override
    def is_due(self, before: int, updates: int) -> bool:
        return before < self.config.method.inject_at <= updates

    @override
    def entry_points(self, seen: Seen) -> dict[str, tuple[torch.Tensor, ...]]:
        noise = torch.zeros_like(seen[1])
        return {**super().entry_points(seen), "get_target_value": (seen[0], noise)}

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        start = time.perf_counter()
        _, seen = sampled(trainer)
        targets = {name: f"target_{name}" for name in ("critic1", "critic2")}
        inject = morphir.InjectPlasticityPass(
            at=[*targets], targets=targets, seed=self.seed(trainer)
        )
        return self.change(trainer, "inject", [inject], seen, since=start)
