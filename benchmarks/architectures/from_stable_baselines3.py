"""Every network of Stable-Baselines3's PPO, DQN, SAC and TD3, on vectors and on images.

Multilayer perceptrons have no residual stream: their trunk is what the heads read.
"""

from __future__ import annotations

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


def _rate(_: float) -> float:
    return 1e-3


def _vector() -> torch.Tensor:
    return torch.randn(2, 6)


def _screen() -> torch.Tensor:
    return torch.randint(0, 256, (2, 4, 44, 44), dtype=torch.uint8)


def _observed() -> dict[str, Arguments]:
    return {"forward": ((_vector(),), {})}


def _observed_and_moved() -> dict[str, Arguments]:
    return {"forward": ((_vector(), torch.rand(2, 2)), {})}


def _seen() -> dict[str, Arguments]:
    return {"forward": ((_screen(),), {})}


def _ppo_on_vectors() -> dict[str, Arguments]:
    return {
        "forward": ((_vector(),), {}),
        "predict_values": ((_vector(),), {}),
        "evaluate_actions": ((_vector(), torch.rand(2, 2)), {}),
    }


def _ppo_on_images() -> dict[str, Arguments]:
    return {
        "forward": ((_screen(),), {}),
        "predict_values": ((_screen(),), {}),
        "evaluate_actions": ((_screen(), torch.randint(0, 3, (2,))), {}),
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


ARCHITECTURES = (
    Architecture(
        "stable_baselines3/ppo",
        _ppo,
        _ppo_on_vectors,
        inner=Site("mlp_extractor.policy_net.0", 80),
        trunk=Site("mlp_extractor.policy_net.2", 80),
        insert="mlp_extractor.policy_net.1",
        readers=("mlp_extractor.policy_net.2",),
    ),
    Architecture(
        "stable_baselines3/ppo_cnn",
        _ppo_cnn,
        _ppo_on_images,
        inner=Site("features_extractor.cnn.0", 40),
        trunk=Site("features_extractor.linear.0", 640),  # shared by actor and critic
        insert="features_extractor.cnn.3",
        readers=("features_extractor.cnn.2",),
    ),
    Architecture(
        "stable_baselines3/dqn",
        _dqn,
        _observed,
        inner=Site("q_net.0", 80),
        trunk=Site("q_net.2", 80),
        insert="q_net.1",
        readers=("q_net.2",),
    ),
    Architecture(
        "stable_baselines3/dqn_cnn",
        _dqn_cnn,
        _seen,
        inner=Site("features_extractor.cnn.2", 80),
        trunk=Site("features_extractor.cnn.4", 80),  # read by a linear layer through a flatten
        insert="features_extractor.cnn.3",
        readers=("features_extractor.cnn.4",),
    ),
    Architecture(
        "stable_baselines3/sac_actor",
        _sac_actor,
        _observed,
        inner=Site("latent_pi.0", 320),
        trunk=Site("latent_pi.2", 320),  # read by the mean and the deviation
        insert="latent_pi.1",
        readers=("latent_pi.2",),
    ),
    Architecture(
        "stable_baselines3/sac_critic",
        _sac_critic,
        _observed_and_moved,
        inner=Site("qf0.0", 320),
        trunk=Site("qf0.2", 320),
        insert="qf0.1",
        readers=("qf0.2",),
    ),
    Architecture(
        "stable_baselines3/td3_actor",
        _td3_actor,
        _observed,
        inner=Site("mu.0", 500),
        trunk=Site("mu.2", 375),
        insert="mu.1",
        readers=("mu.2",),
    ),
    Architecture(
        "stable_baselines3/td3_critic",
        _td3_critic,
        _observed_and_moved,
        inner=Site("qf0.0", 500),
        trunk=Site("qf0.2", 375),
        insert="qf0.1",
        readers=("qf0.2",),
    ),
)
