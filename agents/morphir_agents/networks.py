"""Actor-critic networks: good defaults, and the two architectures of the GrowNN paper.

An agent has no `forward`: it is called as `get_value(obs)` and `get_action_and_value(obs, action)`,
which are the entry points under which morphir records it. Its growable parts are named by `trunks`.

The paper's networks are built as its released code builds them (Stable-Baselines3 with a shared
features extractor):

- `grownn-ant`: Linear(obs, 64) without activation, d blocks of Linear(64, 64) and ReLU, then for
  policy and value one 64-wide tanh layer each.
- `grownn-minihack`: one-hot symbols of the 21x79 map, a 1x1 convolution to 2 channels, ReLU,
  Linear(3318, 512) and ReLU, d blocks of Linear(512, 512) and ReLU, then for policy and value one
  512-wide tanh layer each.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import gymnasium as gym
import numpy as np
import torch
from torch import Tensor, nn
from typing_extensions import override

from morphir_agents.encoding import Encoding
from morphir_agents.errors import ConfigError
from morphir_agents.policy import Policy

__all__ = [
    "Agent",
    "ContinuousAgent",
    "DiscreteAgent",
    "NetworkConfig",
    "SymbolChannels",
    "build_agent",
]

_LOG_2PI = float(np.log(2.0 * np.pi))
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh}


@final
@dataclass(frozen=True)
class NetworkConfig:
    """The network an agent starts with."""

    architecture: Literal["mlp", "grownn-ant", "grownn-minihack"] = "mlp"
    """`mlp` is the default; the other two are the GrowNN paper's (see morphir_agents.networks)."""
    width: int = 128
    """Units per hidden layer; the paper has 64 (Ant) and 512 (MiniHack)."""
    depth: int = 1
    """Hidden layers (mlp) or blocks (paper) before any growth."""
    activation: Literal["relu", "tanh"] = "relu"
    """Activation of `mlp`. Growing by identity layers needs relu; see `growth.block`."""
    shared: bool = True
    """One trunk for policy and value (`mlp` only); otherwise one each."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.depth < 1:
            raise ConfigError(
                f"network.width is {self.width} and network.depth is {self.depth}; both must be "
                "at least 1."
            )


class Agent(Policy, ABC):
    """A policy and a value function; how actions are distributed is up to the two subclasses."""

    trunks: tuple[str, ...]
    """Names of the Sequentials that grow."""

    def __init__(self, body: _Body, outputs: int) -> None:
        super().__init__()
        self.trunks = (
            ("policy_trunk", "value_trunk") if body.value_trunk is not None else ("trunk",)
        )
        self.stem = body.stem
        setattr(self, self.trunks[0], body.policy_trunk)
        if body.value_trunk is not None:
            self.value_trunk = body.value_trunk
        self.policy_head = body.head(outputs)
        self.value_head = body.head(1)
        _initialise_orthogonally(self)

    def policy_and_value(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Logits or mean, and the value: everything that acting needs."""
        features = self.stem(obs)
        hidden = getattr(self, self.trunks[0])(features)
        other = hidden if len(self.trunks) == 1 else self.value_trunk(features)
        return self.policy_head(hidden), self.value_head(other).squeeze(-1)

    def get_value(self, obs: Tensor) -> Tensor:
        """The value of each observation."""
        hidden = getattr(self, self.trunks[-1])(self.stem(obs))
        return self.value_head(hidden).squeeze(-1)

    @abstractmethod
    def get_action_and_value(
        self, obs: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Action (sampled unless given), its log probability, the entropy, and the value."""

    @override
    def draw(self, obs: Tensor, generator: np.random.Generator) -> np.ndarray:
        outputs = self.policy_and_value(obs)[0].cpu().numpy()
        return self.sample(outputs, self.noise(outputs.shape, generator))

    @abstractmethod
    def noise(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """The noise that `sample` expects, for outputs of this shape."""

    @abstractmethod
    def sample(self, outputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Actions drawn from logits or means; without noise the deterministic action."""

    @abstractmethod
    def log_probability(self, outputs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Log probability of actions under logits or means."""

    @property
    @override
    def hidden_layers(self) -> int:
        trunk = getattr(self, self.trunks[0])
        return sum(isinstance(module, (nn.ReLU, nn.Tanh)) for module in trunk.modules())

    @property
    @override
    def hidden_width(self) -> int:
        trunk = getattr(self, self.trunks[0])
        return max(m.out_features for m in trunk.modules() if isinstance(m, nn.Linear))


@final
class DiscreteAgent(Agent):
    """Chooses one of n actions; formulae are written out, torch.distributions is slow."""

    @override
    def get_action_and_value(
        self, obs: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        logits, value = self.policy_and_value(obs)
        log_probabilities = logits.log_softmax(-1)
        probabilities = log_probabilities.exp()
        if action is None:
            action = torch.multinomial(probabilities, 1).squeeze(-1)
        log_probability = log_probabilities.gather(-1, action.unsqueeze(-1)).squeeze(-1)
        entropy = -(probabilities * log_probabilities).sum(-1)
        return action, log_probability, entropy, value

    @override
    def act(self, obs: Tensor) -> Tensor:
        return self.policy_and_value(obs)[0].argmax(-1)

    @override
    def noise(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        # Adding Gumbel noise and taking the maximum draws from the softmax.
        return generator.gumbel(size=shape).astype(np.float32)

    @override
    def sample(self, outputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return (outputs + noise).argmax(-1)

    @override
    def log_probability(self, outputs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        shifted = outputs - outputs.max(-1, keepdims=True)
        chosen = np.take_along_axis(shifted, actions[..., None], -1)[..., 0]
        return chosen - np.log(np.exp(shifted).sum(-1))


@final
class ContinuousAgent(Agent):
    """A diagonal Gaussian whose standard deviation doesn't depend on the observation."""

    def __init__(self, body: _Body, outputs: int) -> None:
        super().__init__(body, outputs)
        self.log_std = nn.Parameter(torch.zeros(outputs))

    @override
    def get_action_and_value(
        self, obs: Tensor, action: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, value = self.policy_and_value(obs)
        if action is None:
            action = mean + self.log_std.exp() * torch.randn_like(mean)
        scaled = (action - mean) * torch.exp(-self.log_std)
        log_probability = -0.5 * (scaled.square() + _LOG_2PI).sum(-1) - self.log_std.sum()
        entropy = (self.log_std + 0.5 * (1.0 + _LOG_2PI)).sum().expand(value.shape)
        return action, log_probability, entropy, value

    @override
    def act(self, obs: Tensor) -> Tensor:
        return self.policy_and_value(obs)[0]

    @override
    def noise(self, shape: tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        return generator.standard_normal(shape, dtype=np.float32)

    @override
    def sample(self, outputs: np.ndarray, noise: np.ndarray) -> np.ndarray:
        return outputs + np.exp(self.log_std.detach().numpy()) * noise

    @override
    def log_probability(self, outputs: np.ndarray, actions: np.ndarray) -> np.ndarray:
        log_std = self.log_std.detach().numpy()
        scaled = (actions - outputs) * np.exp(-log_std)
        return -0.5 * (scaled**2 + _LOG_2PI).sum(-1) - log_std.sum()


@final
class SymbolChannels(nn.Module):
    """A 1x1 convolution over one-hot symbols, computed as the table look-up that it is.

    CHANNELS-1   SymbolChannels()(codes) == conv(one_hot(codes)), with the same parameters
    """

    def __init__(self, symbols: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(symbols, channels, kernel_size=1)

    def forward(self, codes: Tensor) -> Tensor:
        """Two numbers (channels) for each symbol of the map."""
        table = self.conv.weight.flatten(1).t()
        assert self.conv.bias is not None
        looked_up = nn.functional.embedding(codes.long(), table) + self.conv.bias
        return looked_up.movedim(-1, 1)


@final
@dataclass(frozen=True)
class _Body:
    stem: nn.Module
    policy_trunk: nn.Sequential
    value_trunk: nn.Sequential | None
    head: Callable[[int], nn.Module]


def build_agent(
    config: NetworkConfig, encoding: Encoding, action_space: gym.Space[object], seed: int
) -> Agent:
    """Build an orthogonally initialised agent from a seed; torch's generator is left alone."""
    size = int(np.prod(encoding.shape))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _BODIES[config.architecture](config, size, encoding)
        if isinstance(action_space, gym.spaces.Discrete):
            return DiscreteAgent(body, int(action_space.n))
        if isinstance(action_space, gym.spaces.Box) and len(action_space.shape) == 1:
            return ContinuousAgent(body, action_space.shape[0])
    raise ConfigError(
        f"The action space is {action_space}; expected Discrete or a one-dimensional Box."
    )


def _mlp(config: NetworkConfig, size: int, encoding: Encoding) -> _Body:
    if not encoding.dtype.is_floating_point:
        raise ConfigError(
            "network.architecture is 'mlp', but the observation is a map of symbols. Use "
            "env.view=crop, or the architecture grownn-minihack, which embeds symbols."
        )
    activation = _ACTIVATIONS[config.activation]

    def trunk() -> nn.Sequential:
        widths = [size, *[config.width] * config.depth]
        layers: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise(widths):
            layers += [nn.Linear(inputs, outputs), activation()]
        return nn.Sequential(*layers)

    return _Body(
        nn.Identity(),
        trunk(),
        None if config.shared else trunk(),
        lambda outputs: nn.Linear(config.width, outputs),
    )


def _grownn_ant(config: NetworkConfig, size: int, encoding: Encoding) -> _Body:
    if not encoding.dtype.is_floating_point:
        raise ConfigError("network.architecture is 'grownn-ant'; it expects a vector observation.")
    return _Body(
        nn.Linear(size, config.width),
        _blocks(config),
        None,
        lambda outputs: _tanh_head(config, outputs),
    )


def _grownn_minihack(config: NetworkConfig, size: int, encoding: Encoding) -> _Body:
    if encoding.dtype != torch.uint8:
        raise ConfigError(
            "network.architecture is 'grownn-minihack'; it expects the map's raw symbols. Use "
            "env.view=map."
        )
    stem = nn.Sequential(
        SymbolChannels(255, 2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * size, config.width),
        nn.ReLU(),
    )
    return _Body(stem, _blocks(config), None, lambda outputs: _tanh_head(config, outputs))


def _blocks(config: NetworkConfig) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.depth):
        layers += [nn.Linear(config.width, config.width), nn.ReLU()]
    return nn.Sequential(*layers)


def _tanh_head(config: NetworkConfig, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.width, config.width), nn.Tanh(), nn.Linear(config.width, outputs)
    )


_BODIES: dict[str, Callable[[NetworkConfig, int, Encoding], _Body]] = {
    "mlp": _mlp,
    "grownn-ant": _grownn_ant,
    "grownn-minihack": _grownn_minihack,
}


def _initialise_orthogonally(agent: Agent) -> None:
    """Orthogonal, gain sqrt(2); 0.01 for the policy's last layer, 1 for the value's; no bias."""
    for module in agent.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            nn.init.orthogonal_(module.weight, gain=float(np.sqrt(2.0)))
            assert module.bias is not None
            nn.init.zeros_(module.bias)
    for head, gain in ((agent.policy_head, 0.01), (agent.value_head, 1.0)):
        last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1]
        nn.init.orthogonal_(last.weight, gain=gain)
