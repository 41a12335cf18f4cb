import gymnasium as gym
import numpy as np
import torch

from morphir_agents.deploy import (
    DeployedActor,
    DeployedPolicy,
    deployed_policy,
    example_observations,
)
from morphir_agents.encoding import SymbolPlanes, Vector
from morphir_agents.networks import NetworkConfig, build_agent
from morphir_agents.new_head import add_head
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent
from tests.agents.test_new_head import build, inputs


def test_deploy_1_discrete_gives_the_best_action_and_its_logits():
    encoding, space = SymbolPlanes((3, 3), (">", ".")), gym.spaces.Discrete(4)
    agent = build_agent(NetworkConfig(width=8), encoding, space, seed=0)
    raw = np.random.default_rng(0).choice([ord(">"), ord("."), 32], (20, 3, 3)).astype(np.uint8)
    deployed = DeployedPolicy(agent, encoding, space)
    action, logits = deployed(example_observations(raw))
    assert deployed.output_names == ("action", "logits")
    expected = agent.policy_and_value(torch.from_numpy(encoding.encode(raw)))[0]
    assert torch.equal(logits, expected)
    assert torch.equal(action, expected.argmax(-1))


def test_deploy_1_continuous_clips_to_the_bounds_and_bakes_normalisation_in():
    encoding, space = Vector(3, normalise=True), gym.spaces.Box(-0.1, 0.2, (2,))
    generator = np.random.default_rng(1)
    encoding.observe(generator.normal(7.0, 3.0, (200, 3)))
    agent = build_agent(NetworkConfig(width=8), encoding, space, seed=0)
    with torch.no_grad():
        agent.policy_head.bias.copy_(torch.tensor([5.0, 0.0]))
    raw = generator.normal(7.0, 3.0, (20, 3))
    deployed = DeployedPolicy(agent, encoding, space)
    action, mean = deployed(example_observations(raw))
    expected = agent.policy_and_value(torch.from_numpy(encoding.encode(raw)))[0]
    torch.testing.assert_close(mean, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(action, mean.clamp(-0.1, 0.2))
    assert deployed.output_names == ("action", "mean")
    assert (action[:, 0] == 0.2).all()
    assert {"low", "high", "encoder.mean", "encoder.std"} <= set(deployed.state_dict())


def test_deploy_2_an_actor_goes_without_critics_and_answers_within_the_bounds_of_the_task():
    encoding, space = Vector(3, normalise=False), gym.spaces.Box(-0.1, 0.3, (2,))
    agent = build_td3_agent(TD3NetworkConfig((8,)), 3, space, 0.1, seed=0)
    with torch.no_grad():
        agent.actor[-2].bias.copy_(torch.tensor([9.0, 0.0]))
    raw = np.random.default_rng(1).normal(size=(20, 3))
    deployed = deployed_policy(agent, encoding, space)
    assert isinstance(deployed, DeployedActor)
    assert deployed.output_names == ("action",)
    (action,) = deployed(example_observations(raw))
    inside = agent.actor(torch.from_numpy(raw.astype(np.float32)))
    torch.testing.assert_close(action, 0.1 + 0.2 * inside, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(action[:, 0], torch.full((20,), 0.3), rtol=0.0, atol=1e-6)
    assert not any("critic" in name for name in deployed.state_dict())


def test_deploy_2_of_several_tasks_the_one_that_is_selected_is_deployed():
    """DEPLOY-2"""
    agent, optimizers = build()
    add_head(agent, optimizers, 1, seed=0, step=0)
    raw = inputs(1)[0]
    deployed = deployed_policy(agent, Vector(5, normalise=False), gym.spaces.Box(0.0, 3.0, (1,)))
    torch.testing.assert_close(deployed(raw)[0], agent.act(raw), rtol=1e-6, atol=1e-6)
    assert deployed(raw)[0].shape == (6, 1)
