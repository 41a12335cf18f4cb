"""The networks of TD3: an actor, two critics, and a slowly moving target of each.

They are plain Sequentials, as in TD3's released code: the actor ends in a tanh, a critic takes an
observation and an action side by side. Inside, actions lie in [-1, 1]; only `act` and `draw` know
the bounds of the task.

`TD3Agent` has no `forward`. morphir records it as `act(obs)`, `get_values(obs, action)` and
`get_target_value(next_obs, noise)`, which together reach all six networks.

An agent for several tasks has a head for each that it has met (`heads.py`). All of its methods are
about the one task that is selected, with observations and actions of its sizes.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from morphir_agents.errors import ConfigError
from morphir_agents.heads import HeadLayer, heads_of, parts_of
from morphir_agents.learning_part import own_modules
from morphir_agents.policy import Policy

__all__ = ["TD3Agent", "TD3NetworkConfig", "Task", "build_td3_agent"]

Task = tuple[int, tuple[np.ndarray, np.ndarray]]
"""Numbers per observation, and the smallest and the largest action."""


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
        tasks: What it is to learn. It starts with a head for the first, and if there are more,
            `new_head.add_head` gives it those of the others.
        exploration_noise: Standard deviation of what `explore` adds to an action in [-1, 1].
    """

    centre: Tensor
    half_range: Tensor

    def __init__(
        self, config: TD3NetworkConfig, tasks: Sequence[Task], exploration_noise: float
    ) -> None:
        super().__init__()
        low, high = (
            torch.cat([torch.as_tensor(bounds[end], dtype=torch.float32) for _, bounds in tasks])
            for end in (0, 1)
        )
        self.register_buffer("centre", (high + low) / 2)
        self.register_buffer("half_range", (high - low) / 2)
        self.exploration_noise = exploration_noise
        self.parts = parts_of([(observation, len(bounds[0])) for observation, bounds in tasks])
        first, heads = self.parts[0], len(tasks) > 1
        self.actor = _perceptron(first.observation.stop, config, first.action.stop, heads)
        self.actor.append(nn.Tanh())
        self.critic1 = _perceptron(first.inputs.stop, config, 1, heads)
        self.critic2 = _perceptron(first.inputs.stop, config, 1, heads)
        self.target_actor, self.target_critic1, self.target_critic2 = (
            copy.deepcopy(network).requires_grad_(False)
            for network in (self.actor, self.critic1, self.critic2)
        )
        self.select(0)

    def select(self, task: int | None) -> None:
        """Work on this task from now on, or with None on the inputs of all tasks side by side."""
        self.task = task
        part = None if task is None else self.parts[task]
        for network in (self.actor, self.target_actor):
            _select(network, part and part.observation, part and part.action)
        for network in (*self.critics, *self.target_critics):
            _select(network, part and part.inputs, part and part.value)

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """The middle and half the range of the actions of the task."""
        if self.task is None or len(self.parts) == 1:
            return self.centre, self.half_range
        own = self.parts[self.task].action
        return self.centre[own], self.half_range[own]

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
        """All layers of actor and critics but the first and the last: what tasks share."""
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
        return len(_linear_layers(self.actor)) - 1

    @property
    @override
    def hidden_width(self) -> int:
        return max(layer.out_features for layer in [*_linear_layers(self.actor).values()][:-1])

    @override
    def act(self, obs: Tensor) -> Tensor:
        centre, half_range = self.bounds
        return centre + half_range * self.actor(obs)

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
        centre, half_range = self.bounds
        return centre.cpu().numpy() + half_range.cpu().numpy() * actions

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

    def get_outputs(self, observations: Tensor, inputs: Tensor) -> tuple[Tensor, ...]:
        """What all six networks say; morphir records it, for all tasks, when one more is met.

        Args:
            observations: Of all tasks that have a head, side by side if none is selected.
            inputs: An observation and an action of each, in the same way.
        """
        actors, critics = (self.actor, self.target_actor), (*self.critics, *self.target_critics)
        return (*(net(observations) for net in actors), *(net(inputs) for net in critics))

    def _layers_between(self, first: int) -> tuple[str, ...]:
        return tuple(
            f"{prefix}.{name}"
            for prefix in ("actor", "critic1", "critic2")
            for name in [*_linear_layers(self.get_submodule(prefix))][first:-1]
        )


def build_td3_agent(
    config: TD3NetworkConfig,
    observation: int,
    action_space: gym.Space[object],
    exploration_noise: float,
    seed: int,
    others: Sequence[tuple[int, gym.Space[object]]] = (),
) -> TD3Agent:
    """Build an agent from a seed, with torch's own initialisation as in TD3's released code.

    Args:
        config: Its networks.
        observation: Numbers per observation.
        action_space: What may be done.
        exploration_noise: As for the agent.
        seed: Fixes the weights.
        others: Observation and action of the other tasks that it is to learn.

    Raises:
        ConfigError: The actions are not a bounded vector.
    """
    tasks = [(observation, action_space), *others]
    bounds = [(size, _bounds(space)) for size, space in tasks]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TD3Agent(config, bounds, exploration_noise)


def _bounds(action_space: gym.Space[object]) -> tuple[np.ndarray, np.ndarray]:
    if not isinstance(action_space, gym.spaces.Box) or len(action_space.shape) != 1:
        raise ConfigError(
            f"The action space is {action_space}; TD3 needs a vector of numbers, a one-dimensional "
            "Box."
        )
    if not action_space.is_bounded():
        raise ConfigError(f"The action space {action_space} has no bounds; TD3 needs them.")
    return action_space.low, action_space.high


def _perceptron(inputs: int, config: TD3NetworkConfig, outputs: int, heads: bool) -> nn.Sequential:
    sizes = [*itertools.pairwise([inputs, *config.widths, outputs])]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(sizes):
        is_last = number == len(sizes) - 1
        if heads and (number == 0 or is_last):
            layers.append(HeadLayer(before, after, axis=0 if is_last else 1))
        else:
            layers.append(nn.Linear(before, after))
        if not is_last:
            layers += [*[nn.LayerNorm(after)] * config.layer_norm, nn.ReLU()]
    return nn.Sequential(*layers)


def _select(network: nn.Module, inputs: slice | None, outputs: slice | None) -> None:
    for _, layer in heads_of(network):
        layer.part = inputs if layer.axis == 1 else outputs


def _linear_layers(network: nn.Module) -> dict[str, nn.Linear]:
    return {n: each for n, each in own_modules(network).items() if isinstance(each, nn.Linear)}
