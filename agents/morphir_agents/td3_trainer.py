"""What TD3 keeps between two updates: everything it has seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast, final

import gymnasium as gym
import numpy as np
import torch
from torch import nn
from typing_extensions import override

from morphir_agents.encoding import Encoding
from morphir_agents.envs import GymConfig, VectorEnv
from morphir_agents.methods import Method, method_of
from morphir_agents.methods.networks import network_of
from morphir_agents.moments import bring_back, put_away, without_changed
from morphir_agents.new_head import add_head
from morphir_agents.replay import Replay
from morphir_agents.td3_networks import TD3Agent, build_td3_agent
from morphir_agents.trainer import Trainer

if TYPE_CHECKING:
    from morphir_agents.config import TD3RunConfig
    from morphir_agents.observer import Observer

__all__ = ["TD3Trainer", "agents_of"]

T = TypeVar("T")


@final
@dataclass(kw_only=True)
class TD3Trainer(Trainer["TD3RunConfig", TD3Agent, list[torch.optim.Optimizer]]):
    """The state of a TD3 run between updates; its optimizers are the actor's and the critics'.

    Environments, encoding and buffer are those of the current visit (`cycle.py`).
    """

    replay: Replay
    method: Method
    visit: int = 0
    moments: dict[str, torch.Tensor] = field(default_factory=dict)
    """Of the heads of other tasks, by the number of the task and the name that `put_away` gave."""

    @classmethod
    def start(cls, config: TD3RunConfig, folder: Path) -> TD3Trainer:
        """A run at its beginning, or at its last checkpoint if it has one."""
        factory = agents_of(config)

        def make_optimizers(module: nn.Module) -> list[torch.optim.Optimizer]:
            agent = cast(TD3Agent, module)
            critics = [parameter for critic in agent.critics for parameter in critic.parameters()]
            return [
                torch.optim.Adam(parameters, lr=config.td3.learning_rate, fused=True)
                for parameters in (list(agent.actor.parameters()), critics)
            ]

        agent = factory()
        vector, judge, encoding, replay = _surroundings(config, 0)
        trainer = cls(
            config=config,
            folder=folder,
            vector=vector,
            judge=judge,
            encoding=encoding,
            agent=agent,
            optimizer=make_optimizers(agent),
            replay=replay,
            method=method_of(config),
        )
        trainer.resume(factory, make_optimizers)
        return trainer

    @property
    def age(self) -> int:
        """Steps since the current visit began; of a run with one task, all."""
        return self.step - self.visit * self.config.visit_steps

    @property
    def is_new(self) -> bool:
        """Whether the task has not been visited before."""
        return self.visit < self.config.cycle.heads

    @property
    def task(self) -> int:
        """Which of the tasks the current visit is to."""
        return self.visit % self.config.cycle.heads

    def moves_on(self, observer: Observer) -> bool:
        """Begin the next visit if it is time to; the learner must then be built anew (CYCLE-1)."""
        visit = self.config.visit_at(self.step)
        if visit == self.visit:
            return False
        kept = put_away(self.agent, self.optimizer)
        self.moments |= {f"{self.task}.{name}": entry for name, entry in kept.items()}
        self._enter(visit)
        if self.is_new:
            seed = self.config.seed
            observer.grew(add_head(self.agent, self.optimizer, self.task, seed, self.step))
        self.agent.select(self.task)
        bring_back(self.agent, self.optimizer, _under(f"{self.task}.", self.moments))
        self.begin_afresh()
        self.announce(observer)
        self.evaluate(observer)
        return True

    def forget(self, before: Mapping[str, torch.Tensor]) -> None:
        """Keep no moments of what a method drew anew in the heads of other tasks (CYCLE-4).

        Args:
            before: The parameters of heads before that, by name.
        """
        away = {int(key.partition(".")[0]) for key in self.moments} - {self.task}
        for task in sorted(away):
            self.agent.select(task)
            kept = without_changed(self.agent, before, _under(f"{task}.", self.moments))
            self.moments |= {f"{task}.{name}": entry for name, entry in kept.items()}
        self.agent.select(self.task)

    def announce(self, observer: Observer) -> None:
        """Say which task is learned, if there are several."""
        if self.config.cycle.tasks:
            observer.enters(self.step, self.config.cycle.tasks[self.task])

    @override
    def arrays(self) -> dict[str, np.ndarray]:
        moments = {f"moments.{key}": entry.cpu().numpy() for key, entry in self.moments.items()}
        replay = {f"replay.{key}": array for key, array in self.replay.state().items()}
        method = {f"method.{key}": array for key, array in self.method.state().items()}
        return moments | replay | method

    @override
    def load(self, arrays: dict[str, np.ndarray]) -> None:
        self._enter(self.config.visit_at(self.step))
        self.agent.select(self.task)
        moments = _under("moments.", arrays)
        device = self.agent.device
        self.moments = {key: torch.from_numpy(array).to(device) for key, array in moments.items()}
        self.replay.load(_under("replay.", arrays))
        self.method.load(_under("method.", arrays))

    @override
    def begin_afresh(self) -> None:
        super().begin_afresh()
        self.replay.cut()

    def _enter(self, visit: int) -> None:
        if visit != self.visit:
            self.visit = visit
            self.vector.close()
            self.judge.close()
            found = _surroundings(self.config, self.task)
            self.vector, self.judge, self.encoding, self.replay = found


def agents_of(config: TD3RunConfig) -> Callable[[], TD3Agent]:
    """What builds the agent of a run as it begins; the tasks are looked at once.

    Raises:
        ConfigError: A task is none that TD3 can learn.
    """
    (observation, action_space), *others = (_sizes(task) for task in config.tasks)

    def build() -> TD3Agent:
        agent = build_td3_agent(
            network_of(config, observation, int(np.prod(action_space.shape or ()))),
            observation,
            action_space,
            config.td3.exploration_noise,
            config.seed,
            others,
        )
        return agent.to(config.device)

    return build


def _under(prefix: str, entries: Mapping[str, T]) -> dict[str, T]:
    """What has a name that begins so, by the rest of its name."""
    found = (name for name in entries if name.startswith(prefix))
    return {name.removeprefix(prefix): entries[name] for name in found}


def _sizes(task: GymConfig) -> tuple[int, gym.Space[object]]:
    """Numbers per observation, and what may be done."""
    env = task.make()
    env.close()
    return task.encoding().shape[0], env.action_space


def _surroundings(config: TD3RunConfig, task: int) -> tuple[VectorEnv, VectorEnv, Encoding, Replay]:
    """Where a task is learned and judged, how it is seen, and an empty buffer for it."""
    env, td3 = config.tasks[task], config.td3
    vector, encoding = VectorEnv(env.make, 1), env.encoding()
    action = int(np.prod(vector.action_space.shape or ()))
    replay = Replay(td3.replay, encoding.shape[0], action, td3.batch, config.device)
    return vector, config.judge(env, config.eval_episodes), encoding, replay
