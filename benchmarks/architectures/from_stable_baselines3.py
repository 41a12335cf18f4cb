"""Every network of Stable-Baselines3's PPO, DQN, SAC and TD3, on vectors and on images.

Multilayer perceptrons have no residual stream: their trunk is what the heads read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.dqn.policies import CnnPolicy, DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from architectures.base import Architecture, Arguments, Site

_VECTOR = spaces.Box(-1, 1, (6,), np.float32)
_SCREEN = spaces.Box(0, 255, (4, 44, 44), np.uint8)  # 2 x 2 positions after the convolutions
_MOVES = spaces.Box(-1, 1, (2,), np.float32)
_KEYS = spaces.Discrete(3)

_Draw = Callable[[], torch.Tensor]


def _rate(_: float) -> float:
    return 1e-3


def _vector() -> torch.Tensor:
    return torch.randn(2, 6)


def _screen() -> torch.Tensor:
    return torch.randint(0, 256, (2, 4, 44, 44), dtype=torch.uint8)


def _moves() -> torch.Tensor:
    return torch.rand(2, 2)


def _keys() -> torch.Tensor:
    return torch.randint(0, 3, (2,))


def _observed() -> dict[str, Arguments]:
    return {"forward": ((_vector(),), {})}


def _observed_and_moved() -> dict[str, Arguments]:
    return {"forward": ((_vector(), _moves()), {})}


def _seen() -> dict[str, Arguments]:
    return {"forward": ((_screen(),), {})}


def _ppo_called(observe: _Draw, act: _Draw) -> dict[str, Arguments]:
    return {
        "forward": ((observe(),), {}),
        "predict_values": ((observe(),), {}),
        "evaluate_actions": ((observe(), act()), {}),
    }


def _ppo() -> nn.Module:
    return ActorCriticPolicy(_VECTOR, _MOVES, _rate)


def _ppo_cnn() -> nn.Module:
    return ActorCriticCnnPolicy(_SCREEN, _KEYS, _rate)


def _dqn() -> nn.Module:
    return DQNPolicy(_VECTOR, _KEYS, _rate).q_net


def _dqn_cnn() -> nn.Module:
    return CnnPolicy(_SCREEN, _KEYS, _rate).q_net


def _sac_actor() -> nn.Module:
    return SACPolicy(_VECTOR, _MOVES, _rate).actor


def _sac_critic() -> nn.Module:
    return SACPolicy(_VECTOR, _MOVES, _rate).critic


def _td3_actor() -> nn.Module:
    return TD3Policy(_VECTOR, _MOVES, _rate).actor


def _td3_critic() -> nn.Module:
    return TD3Policy(_VECTOR, _MOVES, _rate).critic


def _perceptron(
    name: str,
    build: Callable[[], nn.Module],
    inputs: Callable[[], dict[str, Arguments]],
    layers: str,
    widths: tuple[int, int],
) -> Architecture:
    """A network with two hidden layers and an activation after each."""
    return Architecture(
        f"stable_baselines3/{name}",
        build,
        inputs,
        inner=Site(f"{layers}.0", widths[0]),
        trunk=Site(f"{layers}.2", widths[1]),
        insert=f"{layers}.1",
        readers=(f"{layers}.2",),
    )


ARCHITECTURES = (
    _perceptron(
        "ppo", _ppo, partial(_ppo_called, _vector, _moves), "mlp_extractor.policy_net", (80, 80)
    ),
    Architecture(
        "stable_baselines3/ppo_cnn",
        _ppo_cnn,
        partial(_ppo_called, _screen, _keys),
        inner=Site("features_extractor.cnn.0", 40),
        trunk=Site("features_extractor.linear.0", 640),  # shared by actor and critic
        insert="features_extractor.cnn.3",
        readers=("features_extractor.cnn.2",),
    ),
    _perceptron("dqn", _dqn, _observed, "q_net", (80, 80)),
    Architecture(
        "stable_baselines3/dqn_cnn",
        _dqn_cnn,
        _seen,
        inner=Site("features_extractor.cnn.2", 80),
        trunk=Site("features_extractor.cnn.4", 80),  # read by a linear layer through a flatten
        insert="features_extractor.cnn.3",
        readers=("features_extractor.cnn.4",),
    ),
    # What is behind its trunk are two heads, the mean and the deviation.
    _perceptron("sac_actor", _sac_actor, _observed, "latent_pi", (320, 320)),
    _perceptron("sac_critic", _sac_critic, _observed_and_moved, "qf0", (320, 320)),
    _perceptron("td3_actor", _td3_actor, _observed, "mu", (500, 375)),
    _perceptron("td3_critic", _td3_critic, _observed_and_moved, "qf0", (500, 375)),
)
