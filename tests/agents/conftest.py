"""What all tests of the agents need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from morphir_agents.config import RunConfig, TD3RunConfig
from morphir_agents.envs import GymConfig
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3NetworkConfig
from tests.agents import tiny


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def tiny_config() -> Callable[..., RunConfig]:
    """Makes a run on a tiny environment; keyword arguments change the PPO settings."""
    tiny.register()

    def make(name: str, seed: int = 0, **ppo: object) -> RunConfig:
        settings = PPOConfig(
            total_steps=8192,
            environments=4,
            rollout_steps=64,
            minibatch=64,
            learning_rate=3e-3,
            entropy=0.0,
        )
        return RunConfig(
            name="tiny",
            seed=seed,
            env=GymConfig(name),
            network=NetworkConfig(width=16, depth=1),
            ppo=replace(settings, **ppo),
            checkpoint_every=2048,
            eval_every=4096,
            eval_episodes=4,
            final_episodes=8,
        )

    return make


@pytest.fixture
def tiny_td3_config() -> Callable[..., TD3RunConfig]:
    """The same for TD3; keyword arguments change its settings."""
    tiny.register()

    def make(name: str, seed: int = 0, **td3: object) -> TD3RunConfig:
        settings = TD3Config(
            total_steps=600,
            random_steps=100,
            batch=32,
            replay=2_000,
            learning_rate=3e-3,
            log_every=100,
        )
        return TD3RunConfig(
            name="tiny",
            seed=seed,
            env=GymConfig(name),
            network=TD3NetworkConfig((16, 16)),
            td3=replace(settings, **td3),
            checkpoint_every=200,
            eval_every=300,
            eval_episodes=4,
            final_episodes=8,
        )

    return make
