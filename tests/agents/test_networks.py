import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import nn

from morphir_agents.encoding import SymbolPlanes, Symbols, Vector
from morphir_agents.errors import ConfigError
from morphir_agents.networks import NetworkConfig, SymbolChannels, build_agent

DISCRETE = gym.spaces.Discrete(8)
BOX = gym.spaces.Box(-1.0, 1.0, (3,))


def _linears(module):
    return [(m.in_features, m.out_features) for m in module.modules() if isinstance(m, nn.Linear)]


def test_discrete_formulae_equal_torch_distributions():
    agent = build_agent(NetworkConfig(width=32), Vector(5, False), DISCRETE, seed=0)
    obs = torch.randn(64, 5)
    logits, value = agent.policy_and_value(obs)
    distribution = torch.distributions.Categorical(logits=logits)
    action, log_probability, entropy, again = agent.get_action_and_value(obs)
    torch.testing.assert_close(log_probability, distribution.log_prob(action), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(entropy, distribution.entropy(), rtol=1e-5, atol=1e-6)
    assert torch.equal(value, again)
    assert torch.equal(value, agent.get_value(obs))
    assert torch.equal(agent.act(obs), logits.argmax(-1))


def test_continuous_formulae_equal_torch_distributions():
    agent = build_agent(NetworkConfig(width=32), Vector(5, False), BOX, seed=0)
    with torch.no_grad():
        agent.log_std.copy_(torch.tensor([-1.0, 0.0, 0.5]))
    obs = torch.randn(64, 5)
    mean, _ = agent.policy_and_value(obs)
    distribution = torch.distributions.Normal(mean, agent.log_std.exp())
    action, log_probability, entropy, _ = agent.get_action_and_value(obs)
    expected = distribution.log_prob(action).sum(-1)
    torch.testing.assert_close(log_probability, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropy, distribution.entropy().sum(-1), rtol=1e-5, atol=1e-5)
    assert torch.equal(agent.act(obs), mean)


@pytest.mark.parametrize("space", [DISCRETE, BOX])
def test_numpy_log_probabilities_equal_torch_s(space):
    agent = build_agent(NetworkConfig(width=8), Vector(5, False), space, seed=0)
    obs = torch.randn(32, 5)
    with torch.no_grad():
        outputs = agent.policy_and_value(obs)[0].numpy()
        noise = agent.noise(outputs.shape, np.random.default_rng(0))
        actions = agent.sample(outputs, noise)
        expected = agent.get_action_and_value(obs, torch.from_numpy(actions))[1].numpy()
    np.testing.assert_allclose(
        agent.log_probability(outputs, actions), expected, rtol=1e-5, atol=1e-5
    )


def test_sampled_actions_have_the_policy_s_frequencies():
    agent = build_agent(NetworkConfig(width=8), Vector(5, False), DISCRETE, seed=0)
    logits = np.log(np.array([[0.5, 0.2, 0.1, 0.1, 0.05, 0.03, 0.01, 0.01]], dtype=np.float32))
    outputs = np.repeat(logits, 200_000, 0)
    actions = agent.sample(outputs, agent.noise(outputs.shape, np.random.default_rng(0)))
    frequencies = np.bincount(actions, minlength=8) / len(actions)
    np.testing.assert_allclose(frequencies, np.exp(logits[0]), atol=4e-3)  # over 3 standard errors


def test_continuous_samples_have_the_policy_s_spread():
    agent = build_agent(NetworkConfig(width=8), Vector(5, False), BOX, seed=0)
    with torch.no_grad():
        agent.log_std.fill_(-1.0)
    outputs = np.full((100_000, 3), 2.0, np.float32)
    actions = agent.sample(outputs, agent.noise(outputs.shape, np.random.default_rng(0)))
    np.testing.assert_allclose(actions.mean(0), 2.0, atol=5e-3)
    np.testing.assert_allclose(actions.std(0), np.exp(-1.0), atol=5e-3)
    assert np.array_equal(agent.sample(outputs, 0.0 * outputs), outputs)


def test_grownn_ant_is_the_paper_s_network():
    config = NetworkConfig(architecture="grownn-ant", width=64, depth=3)
    agent = build_agent(config, Vector(27, False), gym.spaces.Box(-1, 1, (8,)), seed=0)
    assert _linears(agent.stem) == [(27, 64)]
    assert isinstance(agent.stem, nn.Linear)  # no activation after the input layer
    assert [type(m) for m in agent.trunk] == [nn.Linear, nn.ReLU] * 3
    assert _linears(agent.trunk) == [(64, 64)] * 3
    for head, outputs in ((agent.policy_head, 8), (agent.value_head, 1)):
        assert [type(m) for m in head] == [nn.Linear, nn.Tanh, nn.Linear]
        assert _linears(head) == [(64, 64), (64, outputs)]
    assert (agent.hidden_layers, agent.hidden_width) == (3, 64)


def test_grownn_minihack_is_the_paper_s_network():
    config = NetworkConfig(architecture="grownn-minihack", width=512, depth=2)
    agent = build_agent(config, Symbols((21, 79)), DISCRETE, seed=0)
    assert agent.stem[0].conv.weight.shape == (2, 255, 1, 1)
    assert [type(m) for m in agent.stem][1:] == [nn.ReLU, nn.Flatten, nn.Linear, nn.ReLU]
    assert _linears(agent.stem) == [(3318, 512)]
    assert [type(m) for m in agent.trunk] == [nn.Linear, nn.ReLU] * 2
    assert _linears(agent.trunk) == [(512, 512)] * 2
    assert [type(m) for m in agent.value_head] == [nn.Linear, nn.Tanh, nn.Linear]
    logits, value = agent.policy_and_value(torch.randint(32, 127, (4, 21, 79), dtype=torch.uint8))
    assert logits.shape == (4, 8)
    assert value.shape == (4,)


def test_channels_1_the_look_up_is_the_convolution_of_one_hot_symbols():
    channels = SymbolChannels(255, 2).double()
    codes = torch.randint(0, 255, (3, 21, 79), dtype=torch.uint8)
    one_hot = nn.functional.one_hot(codes.long(), 255).permute(0, 3, 1, 2).double()
    expected = channels.conv(one_hot)
    torch.testing.assert_close(channels(codes), expected, rtol=1e-12, atol=1e-12)

    weights = torch.randn_like(expected)
    found = torch.autograd.grad((channels(codes) * weights).sum(), list(channels.parameters()))
    wanted = torch.autograd.grad(
        (channels.conv(one_hot) * weights).sum(), list(channels.parameters())
    )
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_weights_are_orthogonal_and_follow_the_seed_without_touching_torch_s_generator():
    encoding, config = SymbolPlanes((3, 3), (">", ".")), NetworkConfig(width=16, depth=2)
    state = torch.random.get_rng_state()
    first, second, other = (build_agent(config, encoding, DISCRETE, seed=s) for s in (5, 5, 6))
    assert torch.equal(state, torch.random.get_rng_state())
    same = [torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True)]
    assert all(same)
    assert not torch.equal(first.trunk[0].weight, other.trunk[0].weight)
    weight = first.trunk[2].weight
    torch.testing.assert_close(weight @ weight.t(), 2.0 * torch.eye(16), rtol=0, atol=1e-5)
    assert first.policy_head.weight.norm() < 0.05
    assert all((m.bias == 0).all() for m in first.modules() if isinstance(m, nn.Linear))


def test_separate_trunks_share_no_parameter():
    agent = build_agent(NetworkConfig(width=8, shared=False), Vector(5, False), BOX, seed=0)
    assert agent.trunks == ("policy_trunk", "value_trunk")
    agent.get_value(torch.randn(2, 5)).sum().backward()
    assert all(p.grad is None for p in agent.policy_trunk.parameters())
    assert all(p.grad is not None for p in agent.value_trunk.parameters())


@pytest.mark.parametrize(
    ("config", "encoding", "message"),
    [
        (NetworkConfig(), Symbols((21, 79)), "env.view=crop"),
        (NetworkConfig(architecture="grownn-minihack"), Vector(3, False), "env.view=map"),
        (NetworkConfig(architecture="grownn-ant"), Symbols((21, 79)), "vector observation"),
    ],
)
def test_an_architecture_says_which_observation_it_expects(config, encoding, message):
    with pytest.raises(ConfigError, match=message):
        build_agent(config, encoding, DISCRETE, seed=0)


def test_an_unknown_action_space_is_named():
    with pytest.raises(ConfigError, match="MultiBinary"):
        build_agent(NetworkConfig(), Vector(3, False), gym.spaces.MultiBinary(2), seed=0)
    with pytest.raises(ConfigError, match="at least 1"):
        NetworkConfig(depth=0)
