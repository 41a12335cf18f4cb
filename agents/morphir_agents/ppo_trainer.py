"""What PPO keeps between two updates: moments of rewards and observations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from morphir_agents.encoding import Vector
from morphir_agents.envs import VectorEnv
from morphir_agents.networks import Agent, build_agent
from morphir_agents.normalise import RewardScale
from morphir_agents.trainer import Trainer

if TYPE_CHECKING:
    from morphir_agents.config import RunConfig

__all__ = ["PPOTrainer"]


@final
@dataclass(kw_only=True)
class PPOTrainer(Trainer["RunConfig", Agent, torch.optim.Optimizer]):
    """The state of a PPO run between updates."""

    rewards: RewardScale

    @classmethod
    def start(cls, config: RunConfig, folder: Path) -> PPOTrainer:
        """A run at its beginning, or at its last checkpoint if it has one."""
        encoding, ppo = config.env.encoding(), config.ppo
        vector = VectorEnv(config.env.make, ppo.environments)

        def factory() -> Agent:
            return build_agent(config.network, encoding, vector.action_space, config.seed)

        def make_optimizer(module: nn.Module) -> torch.optim.Optimizer:
            return torch.optim.Adam(module.parameters(), lr=ppo.learning_rate, eps=1e-5, fused=True)

        agent = factory()
        trainer = cls(
            config=config,
            folder=folder,
            vector=vector,
            judge=config.judge(config.env, config.eval_episodes),
            encoding=encoding,
            agent=agent,
            optimizer=make_optimizer(agent),
            rewards=RewardScale(ppo.environments, ppo.discount),
        )
        trainer.resume(factory, make_optimizer)
        return trainer

    @override
    def arrays(self) -> dict[str, np.ndarray]:
        return {
            f"{name}.{key}": array
            for name, moments in self._moments().items()
            for key, array in moments.state().items()
        }

    @override
    def load(self, arrays: dict[str, np.ndarray]) -> None:
        for name, moments in self._moments().items():
            moments.load({k: arrays[f"{name}.{k}"] for k in ("mean", "variance", "count")})

    @override
    def begin_afresh(self) -> None:
        super().begin_afresh()
        self.rewards.restart()

    def _moments(self) -> dict[str, Any]:
        found: dict[str, Any] = {"rewards": self.rewards.moments}
        if isinstance(self.encoding, Vector) and self.encoding.moments is not None:
            found["observations"] = self.encoding.moments
        return found
