"""What all tests of the agents need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from morphir_agents.config import RunConfig
from morphir_agents.envs import GymConfig
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig
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
