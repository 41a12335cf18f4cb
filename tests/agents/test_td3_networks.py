import gymnasium as gym
import numpy as np
import pytest
import torch

import morphir
from morphir_agents.errors import ConfigError
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

LOW, HIGH = np.float32([-0.5, 1.0]), np.float32([0.5, 4.0])
SPACE = gym.spaces.Box(LOW, HIGH)


def build(widths=(16, 8), seed=0, noise=0.1):
    return build_td3_agent(TD3NetworkConfig(widths), 3, SPACE, noise, seed)


def test_both_sizes_are_the_published_ones():
    released, paper = (TD3NetworkConfig().widths, (256, 128))
    assert released == (256, 256)
    for widths in (released, paper):
        agent = build_td3_agent(TD3NetworkConfig(widths), 17, gym.spaces.Box(-1.0, 1.0, (6,)), 0, 0)
        sizes = {
            name: [tuple(p.shape) for p in network.parameters() if p.dim() == 2]
            for name, network in agent.named_children()
        }
        first, second = widths
        actor = [(first, 17), (second, first), (6, second)]
        critic = [(first, 23), (second, first), (1, second)]
        assert sizes == {
            **dict.fromkeys(("actor", "target_actor"), actor),
            **dict.fromkeys(("critic1", "critic2", "target_critic1", "target_critic2"), critic),
        }
        assert (agent.hidden_layers, agent.hidden_width) == (2, 256)


def test_targets_begin_as_copies_and_are_no_parameters_to_an_optimizer():
    agent = build()
    for name in ("actor", "critic1", "critic2"):
        trained, target = agent.get_submodule(name), agent.get_submodule(f"target_{name}")
        for a, b in zip(trained.parameters(), target.parameters(), strict=True):
            assert torch.equal(a, b)
            assert a.data_ptr() != b.data_ptr()
            assert (a.requires_grad, b.requires_grad) == (True, False)
    assert not torch.equal(agent.critic1[0].weight, agent.critic2[0].weight)


def test_actions_keep_to_the_bounds_of_the_task_and_reach_them():
    agent = build()
    with torch.no_grad():
        agent.actor[-2].weight.mul_(1000)
        actions = agent.act(torch.randn(500, 3)).numpy()
    assert (actions >= LOW - 1e-6).all()
    assert (actions <= HIGH + 1e-6).all()
    np.testing.assert_allclose(actions.min(0), LOW, atol=1e-4)
    np.testing.assert_allclose(actions.max(0), HIGH, atol=1e-4)


def test_exploration_adds_noise_of_the_given_size_and_clips():
    agent, obs = build(noise=0.1), torch.zeros(20_000, 3)
    with torch.inference_mode():
        mean = agent.actor(obs[:1]).numpy()
        noise = agent.explore(obs, np.random.default_rng(0)) - mean
        wild = build(noise=5.0).explore(obs, np.random.default_rng(0))
    # The standard error of both estimates is below 0.001.
    np.testing.assert_allclose(noise.mean(0), 0.0, atol=0.004)
    np.testing.assert_allclose(noise.std(0), 0.1, atol=0.004)
    assert (wild.min(), wild.max()) == (-1.0, 1.0)


def test_the_target_value_is_the_smaller_one_of_the_clipped_noisy_action():
    agent, obs = build(), torch.randn(40, 3)
    noise = torch.randn(40, 2)
    with torch.no_grad():
        for critic in agent.target_critics:
            critic[-1].bias.zero_()
        action = (agent.target_actor(obs) + noise).clamp(-1, 1)
        values = [
            critic(torch.cat([obs, action], 1))
            for critic in (agent.target_critic1, agent.target_critic2)
        ]
        found = agent.get_target_value(obs, noise)
        assert torch.equal(found, torch.minimum(*values))
        assert 0 < int((values[0] < values[1]).sum()) < 40
        for value, critic in zip(agent.get_values(obs, action), agent.critics, strict=True):
            assert torch.equal(value, critic(torch.cat([obs, action], 1)))


def test_a_seed_fixes_the_weights_and_torch_s_generator_is_left_alone():
    before = torch.get_rng_state()
    first, same, other = build(seed=1), build(seed=1), build(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.actor[0].weight, same.actor[0].weight)
    assert not torch.equal(first.actor[0].weight, other.actor[0].weight)


def test_all_six_networks_grow_in_one_change_with_both_optimizers():
    agent = build()
    critics = [p for critic in agent.critics for p in critic.parameters()]
    optimizers = [torch.optim.Adam(agent.actor.parameters()), torch.optim.Adam(critics)]
    obs, action = torch.randn(8, 3), torch.rand(8, 2) * 2 - 1
    agent.get_values(obs, agent.actor(obs))[0].mean().backward()
    for optimizer in optimizers:
        optimizer.step()
    with torch.no_grad():
        expected = (agent.act(obs), *agent.get_values(obs, action))
        target = agent.get_target_value(obs, action)
    at = [f"{name}.0" for name, _ in agent.named_children()]
    result = morphir.transform(
        agent,
        [morphir.WiderPass(at=at, width=24), morphir.DeeperPass(at=["actor.3", "critic1.3"])],
        optimizer=optimizers,
        example_inputs={
            "act": (obs,),
            "get_values": (obs, action),
            "get_target_value": (obs, action),
        },
        entry_points=("act", "get_values", "get_target_value"),
        inplace=True,
    )
    assert result.report.grade is morphir.Grade.PROVED
    assert result.module is agent
    assert (agent.hidden_layers, agent.hidden_width) == (3, 24)
    assert agent.target_critic2[0].out_features == 24
    with torch.no_grad():
        found = (agent.act(obs), *agent.get_values(obs, action))
        assert not any(p.requires_grad for p in agent.target_actor.parameters())
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            agent.get_target_value(obs, action), target, rtol=1e-5, atol=1e-6
        )
    moments = result.optimizer[0].state[agent.actor[0].weight]["exp_avg"]
    assert moments.shape == (24, 3)
    assert moments.abs().sum() > 0


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (gym.spaces.Discrete(3), "TD3 needs a vector of numbers"),
        (gym.spaces.Box(-1.0, 1.0, (2, 2)), "TD3 needs a vector of numbers"),
        (gym.spaces.Box(-np.inf, np.inf, (2,)), "has no bounds"),
    ],
)
def test_actions_that_are_no_bounded_vector_are_refused(space, message):
    with pytest.raises(ConfigError, match=message):
        build_td3_agent(TD3NetworkConfig(), 3, space, 0.1, 0)


@pytest.mark.parametrize("widths", [(), (16, 0)])
def test_impossible_widths_are_refused(widths):
    with pytest.raises(ConfigError, match=r"network\.widths is"):
        TD3NetworkConfig(widths)
