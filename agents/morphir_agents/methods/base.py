"""What a method may do: change the networks between updates, and choose what is learned from."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

import morphir
from morphir_agents.heads import heads_of
from morphir_agents.measures import density
from morphir_agents.plasticity import churn

if TYPE_CHECKING:
    from morphir.recordings import Recording
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.replay import Batch
    from morphir_agents.td3_learner import TD3Learner
    from morphir_agents.td3_networks import TD3Agent
    from morphir_agents.td3_trainer import TD3Trainer

__all__ = ["Changing", "Method", "MethodEvent", "Seen", "densities", "sampled"]

Seen = tuple[torch.Tensor, torch.Tensor]  # observations and actions


@final
@dataclass(frozen=True)
class MethodEvent:
    """What an event did, with its verdict and its cost."""

    step: int
    update: int
    kind: str
    """What was done: sparsify, grow, prune, move, recycle, reset or inject."""
    grade: str
    milliseconds: float
    """With everything it needed: gradients, scores, checks, and the optimizers' state."""
    began: int
    """Weights that began to be used."""
    ceased: int
    """Weights that ceased to be used."""
    actor_churn: float
    """How far the actor's outputs moved on the batch (PLASTIC-4)."""
    critic_churn: float
    """The same of the first critic's."""
    actor_density: float | None
    """The share of the actor's weights that are in use then, of layers with masks if it has any."""
    critic_density: float | None
    """The same of both critics."""
    report: str


class Method:
    """Watches a run and changes its networks; this one leaves them alone.

    Args:
        config: The run.
    """

    def __init__(self, config: TD3RunConfig) -> None:
        self.config = config

    def begin(self, trainer: TD3Trainer) -> list[MethodEvent]:
        """Change the networks before the first step of a run."""
        return []

    def share(self, generator: np.random.Generator) -> float:
        """The part of the buffer that the next batch comes from, from its oldest transition on."""
        return 1.0

    def is_due(self, before: int, updates: int) -> bool:
        """Whether to act after so many updates, of which `before` were made in earlier steps."""
        return False

    def act(self, trainer: TD3Trainer, learner: TD3Learner) -> list[MethodEvent]:
        """Change the networks."""
        return []

    def numbers(self) -> dict[str, float]:
        """What a row of the log has of the method, by column."""
        return {}

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint must keep."""
        return {}

    def load(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from `state()`."""
        return


class Changing(Method):
    """A method that applies morphir's passes to the online networks, in place."""

    def __init__(self, config: TD3RunConfig) -> None:
        super().__init__(config)
        self._recording: Recording | None = None
        self.renumbered: tuple[str, ...] = ()
        """The parameters of which the last change gave some numbers or all new ones."""

    def seed(self, trainer: TD3Trainer) -> int:
        """A seed for the draws of this event."""
        key = [self.config.seed, 6, trainer.updates]
        return int(np.random.SeedSequence(key).generate_state(1)[0])

    def example(self, trainer: TD3Trainer) -> Seen:
        """Random observations and actions, for when there are none to sample."""
        generator = torch.Generator().manual_seed(self.seed(trainer))
        device = trainer.agent.device
        seen, done = (torch.randn(32, n, generator=generator) for n in trainer.replay.sizes)
        return seen.to(device), done.to(device)

    def entry_points(self, seen: Seen) -> dict[str, tuple[torch.Tensor, ...]]:
        """The methods of the agent that are recorded, and what with: they reach what changes."""
        return {"act": seen[:1], "get_values": seen}

    def change(
        self,
        trainer: TD3Trainer,
        kind: str,
        passes: Sequence[Any],
        seen: Seen,
        *,
        since: float,
        **options: Any,
    ) -> list[MethodEvent]:
        """Apply passes to the agent; nothing is told where none of them changed anything.

        Args:
            trainer: Whose agent and optimizers.
            kind: What to call it.
            passes: The passes.
            seen: Observations and actions, to record the networks on and to measure on.
            since: When the event began, as `time.perf_counter` has it.
            options: Of `morphir.transform`.
        """
        agent, inputs = trainer.agent, self.entry_points(seen)
        before, used = _outputs(agent, seen), _in_use(agent)
        heads = {
            f"{name}.{own}": layer.get_parameter(own).detach().clone()
            for name, layer in heads_of(agent)
            for own in layer.own
        }
        result = morphir.transform(
            agent,
            passes,
            optimizer=trainer.optimizer,
            example_inputs=inputs,
            entry_points=tuple(inputs),
            inplace=True,
            recording=self._recording,
            **options,
        )
        self._recording = result.recording
        self.renumbered = result.certificate.renumbered
        if heads:
            trainer.forget(heads)
        milliseconds = 1000 * (time.perf_counter() - since)
        after, now = _outputs(agent, seen), _in_use(agent)
        changes = [(mask > used[name], mask < used[name]) for name, mask in now.items()]
        actor_churn, critic_churn = map(churn, before, after)
        return [
            MethodEvent(
                step=trainer.step,
                update=trainer.updates,
                kind=kind,
                grade=result.report.grade.name,
                milliseconds=round(milliseconds, 3),
                began=sum(int(began.sum()) for began, _ in changes),
                ceased=sum(int(ceased.sum()) for _, ceased in changes),
                actor_churn=actor_churn,
                critic_churn=critic_churn,
                actor_density=density([agent.actor]),
                critic_density=density(agent.critics),
                report=str(result.report),
            )
        ]


def densities(agent: TD3Agent) -> dict[str, float]:
    """The share of weights in use of each sparse layer of the online networks."""
    return {n: float(mask.mean()) for n, mask in _in_use(agent).items()}


def _in_use(agent: TD3Agent) -> dict[str, torch.Tensor]:
    """Copies of the masks of the online networks; ones of layers that have none yet."""
    masks = morphir.Masks(agent).masks
    return {
        f"{name}.weight": masks[f"{name}.weight"].clone()
        if f"{name}.weight" in masks
        else torch.ones_like(agent.get_parameter(f"{name}.weight"))
        for name in agent.backbone
    }


def sampled(trainer: TD3Trainer) -> tuple[Batch, Seen]:
    """A batch of the whole buffer, and copies of its observations and actions."""
    batch = trainer.replay.sample(trainer.generator.random(trainer.config.td3.batch))
    return batch, (batch.observations.clone(), batch.actions.clone())


@torch.no_grad()
def _outputs(agent: TD3Agent, seen: Seen) -> tuple[torch.Tensor, torch.Tensor]:
    return agent.actor(seen[0]), agent.critic1(torch.cat(seen, dim=-1))
