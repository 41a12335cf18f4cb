"""The state of a run between two updates, and its way to checkpoints and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn

from morphir_agents import checkpoint
from morphir_agents.encoding import Encoding, Vector
from morphir_agents.envs import VectorEnv
from morphir_agents.networks import Agent, build_agent
from morphir_agents.normalise import RewardScale

if TYPE_CHECKING:
    from morphir_agents.config import RunConfig

__all__ = ["Trainer"]


@final
@dataclass
class Trainer:
    """The state of a run between updates; `start` reads it from a checkpoint, `save` writes one."""

    config: RunConfig
    folder: Path
    vector: VectorEnv
    encoding: Encoding
    agent: Agent
    optimizer: torch.optim.Optimizer
    rewards: RewardScale
    step: int = 0
    updates: int = 0
    grown: int = 0
    generator: np.random.Generator = field(default_factory=np.random.default_rng)

    @classmethod
    def start(cls, config: RunConfig, folder: Path) -> Trainer:
        """A run at its beginning, or at its last checkpoint if it has one."""
        encoding, ppo = config.env.encoding(), config.ppo
        vector = VectorEnv(config.env.make, ppo.environments)

        def factory() -> Agent:
            return build_agent(config.network, encoding, vector.action_space, config.seed)

        def make_optimizer(module: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.Adam(module.parameters(), lr=ppo.learning_rate, eps=1e-5, fused=True)

        agent = factory()
        trainer = cls(
            config,
            folder,
            vector,
            encoding,
            agent,
            make_optimizer(agent),
            RewardScale(ppo.environments, ppo.discount),
        )
        found = checkpoint.latest(folder)
        if found is not None:
            trainer.agent, trainer.optimizer, progress = checkpoint.load(
                found, factory, make_optimizer
            )
            trainer.step, trainer.updates = progress.step, progress.update
            trainer.grown = progress.grown
            for name, moments in trainer._moments().items():
                moments.load(
                    {k: progress.arrays[f"{name}.{k}"] for k in ("mean", "variance", "count")}
                )
        trainer._begin_afresh()
        return trainer

    def save(self) -> Path:
        """Write a checkpoint, then start environments and randomness afresh from its step."""
        arrays = {
            f"{name}.{key}": array
            for name, moments in self._moments().items()
            for key, array in moments.state().items()
        }
        progress = checkpoint.Progress(self.step, self.updates, self.grown, arrays)
        path = checkpoint.save(self.folder, self.agent, self.optimizer, progress)
        self._begin_afresh()
        return path

    def _begin_afresh(self) -> None:
        key = (self.config.seed, self.step)
        self.generator = np.random.default_rng(np.random.SeedSequence([*key, 0]))
        torch.manual_seed(int(self.generator.integers(2**63)))
        self.vector.restart((*key, 1))
        self.rewards.restart()

    def _moments(self) -> dict[str, Any]:
        found: dict[str, Any] = {"rewards": self.rewards.moments}
        if isinstance(self.encoding, Vector) and self.encoding.moments is not None:
            found["observations"] = self.encoding.moments
        return found
