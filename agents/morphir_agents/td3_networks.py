"""The networks of TD3: an actor, two critics, and a slowly moving target of each.

They are plain Sequentials, as in TD3's released code: the actor ends in a tanh, a critic takes an
observation and an action side by side. Inside, actions lie in [-1, 1]; only `act` and `draw` know
the bounds of the task.

`TD3Agent` has no `forward`. morphir records it as `act(obs)`, `get_values(obs, action)` and
`get_target_value(next_obs, noise)`, which together reach all six networks.
"""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass
from typing import final

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from morphir_agents.errors import ConfigError
from morphir_agents.policy import Policy

__all__ = ["TD3Agent", "TD3NetworkConfig", "build_td3_agent"]


@final
@dataclass(frozen=True)
class TD3NetworkConfig:
    """The networks an agent starts with."""

    widths: tuple[int, ...] = (256, 256)
    """Units of the hidden layers, of actor and critics alike: 256 256 as in TD3's released code,
    256 128 as in the paper on Neuroplastic Expansion."""
    layer_norm: bool = False
    """Whether a LayerNorm stands behind each hidden Linear layer."""

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ConfigError(
                f"network.widths is {self.widths}; expected one positive number or more, such as "
                "256 256."
            )


@final
class TD3Agent(Policy):
    """Actor, critics and targets; the targets are no parameters to an optimizer.

    Args:
        config: Its networks.
        observation: Numbers per observation.
        bounds: The smallest and the largest action of the task.
        exploration_noise: Standard deviation of what `explore` adds to an action in [-1, 1].
    """

    centre: Tensor
    half_range: Tensor

    def __init__(
        self,
        config: TD3NetworkConfig,
        observation: int,
        bounds: tuple[np.ndarray, np.ndarray],
        exploration_noise: float,
    ) -> None:
        super().__init__()
        low, high = (torch.as_tensor(bound, dtype=torch.float32) for bound in bounds)
        self.register_buffer("centre", (high + low) / 2)
        self.register_buffer("half_range", (high - low) / 2)
        self.exploration_noise = exploration_noise
        self.actor = _perceptron(observation, config, len(low)).append(nn.Tanh())
        self.critic1 = _perceptron(observation + len(low), config, 1)
        self.critic2 = _perceptron(observation + len(low), config, 1)
        self.target_actor, self.target_critic1, self.target_critic2 = (
            copy.deepcopy(network).requires_grad_(False)
            for network in (self.actor, self.critic1, self.critic2)
        )

    @property
    def critics(self) -> tuple[nn.Sequential, nn.Sequential]:
        """Both critics."""
        return self.critic1, self.critic2

    @property
    def target_critics(self) -> tuple[nn.Sequential, nn.Sequential]:
        """The targets of both critics."""
        return self.target_critic1, self.target_critic2

    @property
    def hidden(self) -> tuple[str, ...]:
        """The layers of actor and critics whose outputs are hidden units."""
        return self._layers_between(0)

    @property
    def backbone(self) -> tuple[str, ...]:
        """All layers of actor and critics but the first and the last one of each."""
        return self._layers_between(1)

    def renew_targets(self) -> None:
        """Make the targets equal to their networks."""
        with torch.no_grad():
            for name in ("actor", "critic1", "critic2"):
                network, target = self.get_submodule(name), self.get_submodule(f"target_{name}")
                for key, parameter in target.named_parameters():
                    parameter.copy_(network.get_parameter(key))

    @property
    @override
    def hidden_layers(self) -> int:
        return len(self._linear_layers()) - 1

    @property
    @override
    def hidden_width(self) -> int:
        return max(layer.out_features for layer in self._linear_layers()[:-1])

    @override
    def act(self, obs: Tensor) -> Tensor:
        return self.centre + self.half_range * self.actor(obs)

    @override
    def draw(self, obs: Tensor, generator: np.random.Generator) -> np.ndarray:
        return self.to_task(self.explore(obs, generator))

    def explore(self, obs: Tensor, generator: np.random.Generator) -> np.ndarray:
        """Actions in [-1, 1]: the policy's, with Gaussian noise, clipped."""
        actions = self.actor(obs).cpu().numpy()
        noise = generator.standard_normal(actions.shape, dtype=np.float32)
        return np.clip(actions + self.exploration_noise * noise, -1.0, 1.0)

    def to_task(self, actions: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1] in the units of the task."""
        return self.centre.cpu().numpy() + self.half_range.cpu().numpy() * actions

    def get_values(self, obs: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """What both critics think of actions in [-1, 1]; each (batch, 1)."""
        inputs = torch.cat([obs, action], dim=-1)
        return self.critic1(inputs), self.critic2(inputs)

    def get_target_value(self, next_obs: Tensor, noise: Tensor) -> Tensor:
        """The smaller of the target critics' values of the target policy's noisy action.

        Args:
            next_obs: What was seen next, (batch, observation).
            noise: Added to the action, already clipped, (batch, action).
        """
        action = (self.target_actor(next_obs) + noise).clamp(-1.0, 1.0)
        inputs = torch.cat([next_obs, action], dim=-1)
        return torch.minimum(self.target_critic1(inputs), self.target_critic2(inputs))

    def _layers_between(self, first: int) -> tuple[str, ...]:
        return tuple(
            f"{prefix}.{name}"
            for prefix in ("actor", "critic1", "critic2")
            for name in [
                name
                for name, module in self.get_submodule(prefix).named_modules()
                if isinstance(module, nn.Linear)
            ][first:-1]
        )

    def _linear_layers(self) -> list[nn.Linear]:
        return [module for module in self.actor.modules() if isinstance(module, nn.Linear)]


def build_td3_agent(
    config: TD3NetworkConfig,
    observation: int,
    action_space: gym.Space[object],
    exploration_noise: float,
    seed: int,
) -> TD3Agent:
    """Build an agent from a seed, with torch's own initialisation as in TD3's released code.

    Raises:
        ConfigError: The actions are not a bounded vector.
    """
    if not isinstance(action_space, gym.spaces.Box) or len(action_space.shape) != 1:
        raise ConfigError(
            f"The action space is {action_space}; TD3 needs a vector of numbers, a one-dimensional "
            "Box."
        )
    if not action_space.is_bounded():
        raise ConfigError(f"The action space {action_space} has no bounds; TD3 needs them.")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TD3Agent(
            config, observation, (action_space.low, action_space.high), exploration_noise
        )


def _perceptron(inputs: int, config: TD3NetworkConfig, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise([inputs, *config.widths]):
        layers += [nn.Linear(before, after), *[nn.LayerNorm(after)] * config.layer_norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(config.widths[-1], outputs))
