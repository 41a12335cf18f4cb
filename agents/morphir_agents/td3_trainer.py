"""What TD3 keeps between two updates: everything it has seen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, final

import numpy as np
import torch
from torch import nn
from typing_extensions import override

from morphir_agents.envs import VectorEnv
from morphir_agents.methods import Method, method_of
from morphir_agents.methods.networks import network_of
from morphir_agents.replay import Replay
from morphir_agents.td3_networks import TD3Agent, build_td3_agent
from morphir_agents.trainer import Trainer

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig

__all__ = ["TD3Trainer"]


@final
@dataclass(kw_only=True)
class TD3Trainer(Trainer["TD3RunConfig", TD3Agent, list[torch.optim.Optimizer]]):
    """The state of a TD3 run between updates; its optimizers are the actor's and the critics'."""

    replay: Replay
    method: Method

    @classmethod
    def start(cls, config: TD3RunConfig, folder: Path) -> TD3Trainer:
        """A run at its beginning, or at its last checkpoint if it has one."""
        encoding, td3 = config.env.encoding(), config.td3
        vector = VectorEnv(config.env.make, 1)
        observation, action = encoding.shape[0], int(np.prod(vector.action_space.shape or (1,)))

        def factory() -> TD3Agent:
            agent = build_td3_agent(
                network_of(config, observation, action),
                observation,
                vector.action_space,
                td3.exploration_noise,
                config.seed,
            )
            return agent.to(config.device)

        def make_optimizers(module: nn.Module) -> list[torch.optim.Optimizer]:
            agent = cast(TD3Agent, module)
            critics = [parameter for critic in agent.critics for parameter in critic.parameters()]
            return [
                torch.optim.Adam(parameters, lr=td3.learning_rate, fused=True)
                for parameters in (list(agent.actor.parameters()), critics)
            ]

        agent = factory()
        trainer = cls(
            config=config,
            folder=folder,
            vector=vector,
            judge=config.judge(config.eval_episodes),
            encoding=encoding,
            agent=agent,
            optimizer=make_optimizers(agent),
            replay=Replay(td3.replay, observation, action, td3.batch, config.device),
            method=method_of(config),
        )
        trainer.resume(factory, make_optimizers)
        return trainer

    @override
    def arrays(self) -> dict[str, np.ndarray]:
        return {
            **{f"replay.{key}": array for key, array in self.replay.state().items()},
            **{f"method.{key}": array for key, array in self.method.state().items()},
        }

    @override
    def load(self, arrays: dict[str, np.ndarray]) -> None:
        for name, part in (("replay", self.replay), ("method", self.method)):
            own = {k.removeprefix(f"{name}."): v for k, v in arrays.items() if k.startswith(name)}
            part.load(own)

    @override
    def begin_afresh(self) -> None:
        super().begin_afresh()
        self.replay.cut()
