"""The policy as it is shipped: raw observations in, action and its logits or mean out."""

from __future__ import annotations

from typing import final

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn

from morphir_agents.encoding import Encoding
from morphir_agents.networks import Agent, ContinuousAgent

__all__ = ["DeployedPolicy", "example_observations"]


@final
class DeployedPolicy(nn.Module):
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
    def output_names(self) -> tuple[str, str]:
        """What `forward` returns, by name."""
        return "action", "mean" if self.continuous else "logits"

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The action to take, and the logits or the mean it was chosen from."""
        outputs, _ = self.agent.policy_and_value(self.encoder(observation))
        if self.continuous:
            return torch.maximum(torch.minimum(outputs, self.high), self.low), outputs
        return outputs.argmax(-1), outputs


def example_observations(raw: np.ndarray) -> Tensor:
    """Raw observations as the deployed policy takes them: symbols as uint8, vectors as float32."""
    return torch.tensor(raw if raw.dtype == np.uint8 else raw.astype(np.float32))
