import gymnasium as gym
import numpy as np
import pytest
import torch

from morphir_agents.encoding import Vector
from morphir_agents.networks import NetworkConfig, build_agent
from morphir_agents.policy import Policy
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

BOX = gym.spaces.Box(-1.0, 1.0, (2,))

POLICIES = {
    "discrete": lambda: build_agent(NetworkConfig(), Vector(3, False), gym.spaces.Discrete(4), 0),
    "continuous": lambda: build_agent(NetworkConfig(), Vector(3, False), BOX, 0),
    "td3": lambda: build_td3_agent(TD3NetworkConfig((8, 9)), 3, BOX, 0.1, 0),
}


@pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)
def test_every_agent_acts_draws_and_knows_its_size(make):
    policy, obs = make(), torch.randn(50, 3)
    assert isinstance(policy, Policy)
    with torch.inference_mode():
        best = policy.act(obs).numpy()
        drawn = [policy.draw(obs, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    assert best.shape == drawn[0].shape
    assert best.dtype.kind == drawn[0].dtype.kind
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], best)
    assert policy.device == torch.device("cpu")
    assert policy.hidden_layers >= 1
    assert policy.hidden_width >= 8
