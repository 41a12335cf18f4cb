from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch

import morphir
from morphir_agents.encoding import Vector
from morphir_agents.errors import ConfigError
from morphir_agents.growth import Deepen, GrowthConfig, GrowthEvent, as_schedule, grow
from morphir_agents.networks import NetworkConfig, build_agent

DISCRETE = gym.spaces.Discrete(3)


def _agent(space=DISCRETE, **network):
    return build_agent(NetworkConfig(width=16, **network), Vector(5, False), space, seed=0)


def _optimizer(agent):
    return torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5, fused=True)


def _learn(agent, optimizer, steps=3):
    obs = torch.randn(32, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        action = agent.act(obs)
        action = action + 0.3 if action.is_floating_point() else action
    for _ in range(steps):
        optimizer.zero_grad()
        _, log_probability, entropy, value = agent.get_action_and_value(obs, action)
        ((value - 1).square() - log_probability - 0.1 * entropy).mean().backward()
        optimizer.step()


def test_grow_2_even_spacing_gives_each_depth_the_same_share():
    events = GrowthConfig(depths=(2, 3, 4)).schedule(start=1, total_steps=2_000_000)
    assert [event.step for event in events] == [500_000, 1_000_000, 1_500_000]
    assert [event.changes for event in events] == [(Deepen(d),) for d in (2, 3, 4)]
    eight = GrowthConfig(depths=tuple(range(2, 9))).schedule(1, 2_000_000)
    assert [event.step for event in eight] == [250_000 * k for k in range(1, 8)]
    assert GrowthConfig().schedule(1, 100) == ()


def test_a_tanh_network_grows_by_residual_blocks():
    agent = _agent(activation="tanh", shared=False)
    (event,) = GrowthConfig(depths=(3,), block="residual").schedule(1, 100)
    grown, _, record = grow(agent, _optimizer(agent), event, torch.randn(4, 5), 50)
    assert (record.grade, grown.hidden_layers) == ("PROVED", 3)


def test_given_steps_are_taken():
    events = GrowthConfig(depths=(2, 8), steps=(10, 30)).schedule(1, 100)
    assert [event.step for event in events] == [10, 30]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2, 4), "steps": (5,)}, "one step per depth"),
        ({"depths": (4, 2)}, "increasing"),
        ({"depths": (2, 3), "steps": (9, 9)}, "increasing"),
        ({"depths": (0,)}, "increasing positive"),
    ],
)
def test_impossible_schedules_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        GrowthConfig(**arguments)


def test_growth_can_not_start_at_the_depth_it_has():
    with pytest.raises(ConfigError, match="starts with 2 hidden"):
        GrowthConfig(depths=(2, 4)).schedule(start=2, total_steps=100)


def test_growth_after_the_end_is_refused_and_not_left_out():
    with pytest.raises(ConfigError, match="ends at 900, but the run has 900 steps"):
        GrowthConfig(depths=(2, 4), steps=(100, 900)).schedule(start=1, total_steps=900)


def test_pairs_of_step_and_pass_become_a_schedule():
    first, second = morphir.DeeperPass(at="trunk.1"), morphir.DeeperPass(at="trunk.1", seed=1)
    events = as_schedule([(10, first), (20, [first, second])])
    assert events == (GrowthEvent(10, (first,)), GrowthEvent(20, (first, second)))
    with pytest.raises(ConfigError, match="in order"):
        as_schedule([(20, first), (10, second)])


@pytest.mark.parametrize("space", [DISCRETE, gym.spaces.Box(-1, 1, (2,))])
@pytest.mark.parametrize("network", [{}, {"shared": False}, {"architecture": "grownn-ant"}])
def test_growing_keeps_policy_and_value_to_the_bit_and_adam_s_state(space, network):
    agent = _agent(space, **network)
    optimizer = _optimizer(agent)
    _learn(agent, optimizer)
    obs = torch.randn(64, 5)
    before = [t.clone() for t in agent.policy_and_value(obs)]
    states = {n: optimizer.state[p]["exp_avg"].clone() for n, p in agent.named_parameters()}

    grown, optimizer, record = grow(agent, optimizer, GrowthEvent(0, (Deepen(4),)), obs, step=123)

    assert all(torch.equal(a, b) for a, b in zip(before, grown.policy_and_value(obs), strict=True))
    assert torch.equal(grown.get_value(obs), before[1])
    assert type(grown) is type(agent)
    named = dict(grown.named_parameters())
    assert set(states) <= set(named)
    for name, state in states.items():
        assert torch.equal(optimizer.state[named[name]]["exp_avg"], state)
    held = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in grown.parameters())
    assert (record.step, record.grade) == (123, "PROVED")
    assert (record.layers_before, record.layers_after) == (1, 4)
    trunks = len(agent.trunks)
    assert record.parameters_after - record.parameters_before == trunks * 3 * (16 * 16 + 16)
    assert record.milliseconds > 0
    assert len(record.passes) == 3 * trunks

    changed = [p.detach().clone() for p in grown.parameters()]
    _learn(grown, optimizer)
    moved = [not torch.equal(a, b) for a, b in zip(changed, grown.parameters(), strict=True)]
    assert all(moved)  # the new layers learn


def test_growing_twice_goes_on_after_the_last_layer():
    agent = _agent()
    optimizer, obs = _optimizer(agent), torch.randn(8, 5)
    for depth in (2, 4):
        agent, optimizer, _ = grow(agent, optimizer, GrowthEvent(0, (Deepen(depth),)), obs, 0)
        _learn(agent, optimizer)
        assert agent.hidden_layers == depth
        assert next(iter(agent.trunk)).in_features == 5


def test_nothing_to_grow_is_nothing_done():
    agent = _agent(depth=3)
    assert (
        grow(agent, _optimizer(agent), GrowthEvent(0, (Deepen(2),)), torch.randn(2, 5), 0) is None
    )


def test_a_pass_that_does_not_fit_changes_nothing():
    agent = _agent()
    optimizer = _optimizer(agent)
    before = {k: v.clone() for k, v in agent.state_dict().items()}
    event = GrowthEvent(0, (morphir.DeeperPass(at="trunk.99"),))
    with pytest.raises(morphir.MorphirError, match="trunk"):
        grow(agent, optimizer, event, torch.randn(2, 5), 0)
    assert before.keys() == agent.state_dict().keys()
    assert all(torch.equal(v, before[k]) for k, v in agent.state_dict().items())
    assert len(optimizer.param_groups[0]["params"]) == len(list(agent.parameters()))


def test_passes_other_than_deepen_are_applied_as_they_are():
    @dataclass(frozen=True)
    class Sentinel:
        at: str = "x"

    assert GrowthEvent(0, (Sentinel(), Deepen(3))).passes(_agent())[0] == Sentinel()
    assert len(GrowthEvent(0, (Sentinel(), Deepen(3))).passes(_agent())) == 3
    assert np.all([isinstance(p, morphir.DeeperPass) for p in Deepen(3).passes(_agent())])
