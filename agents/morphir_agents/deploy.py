"""The policy as it is shipped: raw observations in, actions out, in the units of the task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from morphir_agents.encoding import Encoding
from morphir_agents.networks import Agent, ContinuousAgent
from morphir_agents.policy import Policy
from morphir_agents.td3_networks import TD3Agent

__all__ = [
    "Deployed",
    "DeployedActor",
    "DeployedPolicy",
    "deployed_policy",
    "example_observations",
]


class Deployed(nn.Module, ABC):
    """Takes raw observations, and returns the action first."""

    @property
    @abstractmethod
    def output_names(self) -> tuple[str, ...]:
        """What `forward` returns, by name."""

    @abstractmethod
    def forward(self, observation: Tensor) -> tuple[Tensor, ...]:
        """The action to take, and what it was chosen from."""


@final
class DeployedPolicy(Deployed):
    """Encoding, policy and action bounds in one module; normalisation is baked in.

    DEPLOY-1   forward(raw) is (action, logits) with action = argmax(logits), or (clip(mean), mean)
    """

    low: Tensor
    high: Tensor

    def __init__(self, agent: Agent, encoding: Encoding, action_space: gym.Space[object]) -> None:
        super().__init__()
        self.encoder = encoding.module()
        self.agent = agent
        self.continuous = isinstance(agent, ContinuousAgent)
        if isinstance(action_space, gym.spaces.Box):
            self.register_buffer("low", torch.as_tensor(action_space.low, dtype=torch.float32))
            self.register_buffer("high", torch.as_tensor(action_space.high, dtype=torch.float32))

    @property
    @override
    def output_names(self) -> tuple[str, str]:
        return "action", "mean" if self.continuous else "logits"

    @override
    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        outputs, _ = self.agent.policy_and_value(self.encoder(observation))
        if self.continuous:
            return torch.maximum(torch.minimum(outputs, self.high), self.low), outputs
        return outputs.argmax(-1), outputs


@final
class DeployedActor(Deployed):
    """TD3's actor without critics and targets; the bounds are baked in.

    Of several tasks it has learned it does the one that is selected, the last.

    DEPLOY-2   forward(raw) is (action,) with action = centre + half_range * actor(raw)
    """

    centre: Tensor
    half_range: Tensor

    def __init__(self, agent: TD3Agent, encoding: Encoding) -> None:
        super().__init__()
        self.encoder = encoding.module()
        self.actor = agent.actor
        for name, bound in zip(("centre", "half_range"), agent.bounds, strict=True):
            self.register_buffer(name, bound)

    @property
    @override
    def output_names(self) -> tuple[str]:
        return ("action",)

    @override
    def forward(self, observation: Tensor) -> tuple[Tensor]:
        return (self.centre + self.half_range * self.actor(self.encoder(observation)),)


def deployed_policy(agent: Policy, encoding: Encoding, action_space: gym.Space[object]) -> Deployed:
    """The agent as it is shipped."""
    if isinstance(agent, TD3Agent):
        return DeployedActor(agent, encoding)
    assert isinstance(agent, Agent)
    return DeployedPolicy(agent, encoding, action_space)


def example_observations(raw: np.ndarray) -> Tensor:
    """Raw observations as the deployed policy takes them: symbols as uint8, vectors as float32."""
    return torch.tensor(raw if raw.dtype == np.uint8 else raw.astype(np.float32))
