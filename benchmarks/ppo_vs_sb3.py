"""Environment steps per CPU-second of our PPO and of Stable-Baselines3's, on the same work.

    python benchmarks/ppo_vs_sb3.py [--rounds 5] [--steps 16384] [--tasks room ant]

Both learn from scratch with the same network, number of environments, rollout, minibatch, epochs
and learning rate, in one process on one thread, taking turns; what is counted is the process's CPU
time of collecting and learning, construction left out. On the room ours runs on its slim
environment (identical transitions: tests/agents/envs/test_nethack.py) and Stable-Baselines3 on
stock MiniHack; the row "sb3, slim room" shows how much of the difference is the environment. Ours
updates without logging, Stable-Baselines3 with its Monitor wrapper and logger as it comes. Writes
`results/ppo_vs_sb3.json`.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from results import write_results
from stable_baselines3 import PPO
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn

from morphir_agents import GymConfig, NetworkConfig, PPOConfig, RoomConfig, RunConfig
from morphir_agents.ppo import Rollout, collect, update
from morphir_agents.ppo_trainer import PPOTrainer

Work = Callable[[], float]
"""Learns from scratch and returns the CPU seconds it took."""


@dataclass(frozen=True)
class Task:
    """What both sides do."""

    config: RunConfig
    target: float
    """The ratio of medians that the project promises."""


TASKS = {
    "room": Task(
        RunConfig(
            env=RoomConfig(),
            network=NetworkConfig(width=128, depth=1),
            ppo=PPOConfig(environments=8, rollout_steps=256, minibatch=256, epochs=4),
        ),
        2.5,
    ),
    "ant": Task(
        RunConfig(
            env=GymConfig("Ant-v5", contact_forces=False),
            network=NetworkConfig(width=64, depth=2, shared=False),
            ppo=PPOConfig(environments=8, rollout_steps=256, minibatch=64, epochs=10, entropy=0.0),
        ),
        1.2,
    ),
}


class Encoded(gym.ObservationWrapper):
    """The planes that our network sees, for a policy that takes vectors."""

    def __init__(self, env: gym.Env, config: RoomConfig) -> None:
        super().__init__(env)
        self._encoding = config.encoding()
        self.observation_space = gym.spaces.Box(0.0, 1.0, self._encoding.shape, np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Encode one observation."""
        return self._encoding.encode(observation[None])[0]


class Trunk(BaseFeaturesExtractor):
    """One hidden layer shared by policy and value, as in our network."""

    def __init__(self, space: gym.spaces.Box, width: int) -> None:
        super().__init__(space, width)
        self.layers = nn.Sequential(nn.Linear(space.shape[0], width), nn.ReLU())

    def forward(self, obs: torch.Tensor) -> torch.Tensor:
        """The features."""
        return self.layers(obs)


def ours(config: RunConfig, steps: int) -> Work:
    """Our PPO, as `train` runs it but for logging, evaluation and checkpoints."""

    def work() -> float:
        with tempfile.TemporaryDirectory() as folder:
            trainer = PPOTrainer.start(config, Path(folder))
        rollout = Rollout(config.ppo, trainer.vector, trainer.encoding)
        start = time.process_time()
        for _ in range(steps // config.ppo.batch):
            collect(trainer.agent, trainer.vector, trainer.encoding, rollout, trainer.generator)
            update(trainer.agent, trainer.optimizer, rollout, config.ppo, 0, trainer.generator)
        seconds = time.process_time() - start
        trainer.close()
        return seconds

    return work


def theirs(config: RunConfig, steps: int) -> Work:
    """Stable-Baselines3's PPO with the same settings."""
    ppo = config.ppo
    if isinstance(config.env, RoomConfig):
        network: dict[str, Any] = {
            "features_extractor_class": Trunk,
            "features_extractor_kwargs": {"width": config.network.width},
            "net_arch": [],
        }
    else:
        network = {"net_arch": [config.network.width] * config.network.depth}

    def make() -> gym.Env:
        if isinstance(config.env, RoomConfig):
            return Monitor(Encoded(config.env.make(), config.env))
        return Monitor(gym.make(config.env.id, include_cfrc_ext_in_observation=False))

    def work() -> float:
        environments = DummyVecEnv([make] * ppo.environments)
        model = PPO(
            "MlpPolicy",
            environments,
            learning_rate=ppo.learning_rate,
            n_steps=ppo.rollout_steps,
            batch_size=ppo.minibatch,
            n_epochs=ppo.epochs,
            ent_coef=ppo.entropy,
            policy_kwargs={"activation_fn": nn.ReLU, **network},
            seed=config.seed,
            device="cpu",
        )
        start = time.process_time()
        model.learn(steps)
        seconds = time.process_time() - start
        environments.close()
        return seconds

    return work


def measure(name: str, rounds: int, steps: int) -> dict[str, Any]:
    """Steps per CPU-second of every side, in turns; the first round is not counted."""
    task = TASKS[name]
    steps -= steps % task.config.ppo.batch
    sides = {"ours": ours(task.config, steps)}
    if isinstance(task.config.env, RoomConfig):
        stock = replace(task.config, env=replace(task.config.env, slim=False))
        sides |= {"sb3": theirs(stock, steps), "sb3, slim room": theirs(task.config, steps)}
    else:
        sides["sb3"] = theirs(task.config, steps)

    speeds: dict[str, list[float]] = {side: [] for side in sides}
    for number in range(rounds + 1):
        for side, work in sides.items():
            speed = steps / work()
            if number:
                speeds[side].append(speed)
    medians = {side: statistics.median(values) for side, values in speeds.items()}
    return {
        "task": name,
        "steps_per_round": steps,
        "rounds": rounds,
        "steps_per_cpu_second": speeds,
        "median": medians,
        "ratio_of_medians": medians["ours"] / medians["sb3"],
        "target": task.target,
    }


def main() -> None:
    """Measure the tasks and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--steps", type=int, default=16_384, help="environment steps per round")
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=["room", "ant"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, arguments.rounds, arguments.steps) for name in arguments.tasks]
    for row in rows:
        for side, speeds in row["steps_per_cpu_second"].items():
            median, best, worst = row["median"][side], max(speeds), min(speeds)
            print(
                f"{row['task']:<5} {side:<15} {median:7,.0f} steps/CPU-s ({worst:,.0f}-{best:,.0f})"
            )
        print(
            f"{row['task']:<5} ours / sb3: {row['ratio_of_medians']:.2f} (target {row['target']})"
        )
    print("written to", write_results("ppo_vs_sb3", rows))


if __name__ == "__main__":
    main()
