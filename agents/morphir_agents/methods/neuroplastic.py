"""Neuroplastic Expansion (Liu et al. 2025): networks that start sparse, and grow and prune.

    NE-4   at an event each sparse layer grows by floor(n * f(t)) weights (NE-3), those with the
           largest dense gradients of the losses on a batch, or random ones; they begin at 0
    NE-5   then at most floor(omega * grown) weights of a layer cease to be used, random ones of
           those that come from a dormant unit or lead to one; units that lost one start anew
           (PRUNE-6)

Sparse are all layers but the first and the last one of each network. Where the paper is silent, or
lost, or differs from its released code, the notes in `spec/neuroplastic.md` say what is done.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, final

import numpy as np
from typing_extensions import override

import morphir
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.measures import hidden_activations
from morphir_agents.methods.base import Changing, MethodEvent, Seen, sampled
from morphir_agents.methods.dormant import has_dormant
from morphir_agents.plasticity import activated_ratios
from morphir_agents.review import Review
from morphir_agents.td3_learner import noise_for

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.replay import Batch
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_networks import TD3Agent
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Neuroplastic", "begin_sparse", "unused"]


@final
class Neuroplastic(Changing):
    """Neuroplastic Expansion, and what is left of it without one of its parts."""

    def __init__(self, config: TD3RunConfig) -> None:
        super().__init__(config)
        method = config.method
        self._amount = method.amount.ending(config.last_step)
        self._is_random = method.kind == "random-growth"
        self._prunes = method.uses("prune")
        self._review = (
            Review(method.review_threshold, method.review_share)
            if method.uses("review_share")
            else None
        )

    @override
    def begin(self, trainer: TD3Trainer) -> list[MethodEvent]:
        return begin_sparse(self, trainer)

    @override
    def share(self, generator: np.random.Generator) -> float:
        return 1.0 if self._review is None else self._review.share(generator.random())

    @override
    def numbers(self) -> dict[str, float]:
        return {} if self._review is None else {"critic/review": 1.0 - self._review.slope}

    @override
    def is_due(self, before: int, updates: int) -> bool:
        method = self.config.method
        return method.uses("every") and crosses_grid(before, updates, method.every)

    @override
    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        start = time.perf_counter()
        batch, seen = sampled(trainer)
        if self._review is not None:
            self._review.measured(_activated(trainer.agent, batch))
        counts = {
            name: count
            for name, each in unused(trainer.agent).items()
            if (count := self._amount.count(each, trainer.step))
        }
        if not counts:
            return []
        learner.leave_gradients(batch, noise_for(batch, trainer.generator))
        growing = morphir.MaskGrowPass(
            count=counts,
            score="random" if self._is_random else "gradient",
            seed=self.seed(trainer),
        )
        events = self.change(trainer, "grow", [growing], seen, since=start, checks=("certificate",))
        return events + (self._prune(trainer, seen, counts) if self._prunes else [])

    def _prune(
        self,
        trainer: TD3Trainer,
        seen: Seen,
        grown: Mapping[str, int],
    ) -> list[MethodEvent]:
        start, method = time.perf_counter(), self.config.method
        most = {name: int(method.prune * count) for name, count in grown.items()}
        if not any(most.values()) or not has_dormant(trainer.agent, seen, method.threshold):
            return []
        pruning = morphir.PruneDormantPass(
            at=trainer.agent.hidden,
            data={"act": seen[:1], "get_values": seen},
            threshold=method.threshold,
            mode="mask",
            weights=most,
            seed=self.seed(trainer),
        )
        return self.change(trainer, "prune", [pruning], seen, since=start)

    @override
    def state(self) -> dict[str, np.ndarray]:
        if self._review is None or self._review.ratio is None:
            return {}
        return {"review": np.array([self._review.ratio, self._review.slope])}

    @override
    def load(self, state: Mapping[str, np.ndarray]) -> None:
        if self._review is not None and "review" in state:
            self._review.ratio, self._review.slope = map(float, state["review"])


def begin_sparse(method: Changing, trainer: TD3Trainer) -> list[MethodEvent]:
    """Make the networks sparse, and the targets equal to them, before anything is learned."""
    start, agent = time.perf_counter(), trainer.agent
    actor = [name for name in agent.backbone if name.startswith("actor")]
    critics = [name for name in agent.backbone if not name.startswith("actor")]
    density = method.config.method.density
    passes = [morphir.SparsifyPass(density, at=at) for at in (actor, critics)]
    events = method.change(trainer, "sparsify", passes, method.example(trainer), since=start)
    agent.renew_targets()
    return events


def unused(agent: TD3Agent) -> dict[str, int]:
    """How many numbers of each masked parameter are not in use."""
    return {n: int((mask == 0).sum()) for n, mask in morphir.Masks(agent).masks.items()}


def _activated(agent: TD3Agent, batch: Batch) -> float:
    """The share of the critics' activations above 0."""
    found = {
        f"{number} {name}": each
        for number, critic in enumerate(agent.critics)
        for name, each in hidden_activations(critic, batch.inputs).items()
    }
    return activated_ratios(found)["all"]
