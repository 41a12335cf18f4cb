from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import pytest
import torch

import morphir
from morphir_agents.changes import Deepen, Widen
from morphir_agents.encoding import Vector
from morphir_agents.errors import ConfigError
from morphir_agents.growth import GrowthConfig, GrowthEvent, as_schedule, grow, sizes_changed
from morphir_agents.networks import NetworkConfig, build_agent

DISCRETE = gym.spaces.Discrete(3)
START = NetworkConfig(width=16)


def _agent(space=DISCRETE, **network):
    return build_agent(NetworkConfig(width=16, **network), Vector(5, False), space, seed=0)


def _optimizer(agent):
    return torch.optim.Adam(agent.parameters(), lr=1e-3, eps=1e-5, fused=True)


def _learn(agent, optimizer, steps=3):
    dtype = next(agent.parameters()).dtype
    obs = torch.randn(32, 5, generator=torch.Generator().manual_seed(0), dtype=dtype)
    with torch.no_grad():
        action = agent.act(obs)
        action = action + 0.3 if action.is_floating_point() else action
    for _ in range(steps):
        optimizer.zero_grad()
        _, log_probability, entropy, value = agent.get_action_and_value(obs, action)
        ((value - 1).square() - log_probability - 0.1 * entropy).mean().backward()
        optimizer.step()


def test_grow_2_even_spacing_gives_each_size_the_same_share():
    events = GrowthConfig(depths=(2, 3, 4)).schedule(START, total_steps=2_000_000)
    assert [event.step for event in events] == [500_000, 1_000_000, 1_500_000]
    assert [event.changes for event in events] == [(Deepen(d),) for d in (2, 3, 4)]
    eight = GrowthConfig(depths=tuple(range(2, 9))).schedule(START, 2_000_000)
    assert [event.step for event in eight] == [250_000 * k for k in range(1, 8)]
    wider = GrowthConfig("wider", widths=(24, 32)).schedule(START, 300)
    assert [event.step for event in wider] == [100, 200]
    assert GrowthConfig().schedule(START, 100) == ()


def test_grow_3_an_event_widens_to_the_next_width_and_deepens_to_the_next_depth():
    config = GrowthConfig("both", depths=(2, 4), widths=(24, 40), init="fresh")
    first, second = config.schedule(START, 300, seed=7)
    assert first.changes == (Widen(24, "fresh", 7), Deepen(2))
    assert second.changes == (Widen(40, "fresh", 7), Deepen(4))
    (only,) = GrowthConfig("wider", depths=(2, 4), widths=(24,)).schedule(START, 300)
    assert only.changes == (Widen(24),)


@pytest.mark.parametrize("sizes", [{"depths": (2, 3, 8)}, {"steps": (10, 20, 30)}])
def test_grow_3_without_widths_the_network_grows_evenly_to_twice_its_width(sizes):
    events = GrowthConfig("wider", **sizes).schedule(NetworkConfig(width=128), 100)
    assert [event.changes for event in events] == [(Widen(w),) for w in (170, 213, 256)]


def test_a_tanh_network_grows_by_residual_blocks():
    agent = _agent(activation="tanh", shared=False)
    (event,) = GrowthConfig(depths=(3,), block="residual").schedule(START, 100)
    grown, _, record = grow(agent, _optimizer(agent), event, torch.randn(4, 5), 50)
    assert (record.grade, grown.hidden_layers) == ("PROVED", 3)


def test_given_steps_are_taken():
    events = GrowthConfig(depths=(2, 8), steps=(10, 30)).schedule(START, 100)
    assert [event.step for event in events] == [10, 30]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depths": (2, 4), "steps": (5,)}, r"steps has 1 entries and growth.depths 2; give one"),
        (
            {"kind": "wider", "widths": (24, 32), "steps": (5,), "depths": (2,)},
            r"steps has 1 entries and growth.widths 2",
        ),
        (
            {"kind": "both", "widths": (24,), "depths": (2, 4)},
            r"widths has 1 entries and growth.depths 2",
        ),
        ({"widths": (24,)}, "only deepens. Add --growth wider or --growth both"),
        ({"kind": "wider"}, "growth.widths is empty.*--growth.widths 192 256"),
        ({"kind": "both", "widths": (24,)}, "growth.depths is empty.*--growth.depths 2 4"),
        ({"kind": "wider", "widths": (32, 24)}, "increasing"),
        ({"kind": "sideways"}, "'sideways'; expected one of deeper, wider, both"),
        ({"init": "zero"}, "'zero'; expected one of copy, fresh"),
        ({"depths": (4, 2)}, "increasing"),
        ({"depths": (2, 3), "steps": (9, 9)}, "increasing"),
        ({"depths": (0,)}, "increasing positive"),
    ],
)
def test_impossible_schedules_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        GrowthConfig(**arguments)


def test_growth_can_not_start_at_the_size_it_has():
    with pytest.raises(ConfigError, match=r"begins with 2, but network.depth is 2"):
        GrowthConfig(depths=(2, 4)).schedule(NetworkConfig(depth=2), total_steps=100)
    with pytest.raises(ConfigError, match=r"begins with 16, but network.width is 16"):
        GrowthConfig("wider", widths=(16, 24)).schedule(START, total_steps=100)


def test_growth_after_the_end_is_refused_and_not_left_out():
    with pytest.raises(ConfigError, match="ends at 900, but the run has 900 steps"):
        GrowthConfig(depths=(2, 4), steps=(100, 900)).schedule(START, total_steps=900)


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
    assert (record.width_before, record.width_after) == (16, 16)
    trunks = len(agent.trunks)
    assert record.parameters_after - record.parameters_before == trunks * 3 * (16 * 16 + 16)
    assert record.milliseconds > 0
    assert len(record.passes) == 3 * trunks

    changed = [p.detach().clone() for p in grown.parameters()]
    _learn(grown, optimizer)
    moved = [not torch.equal(a, b) for a, b in zip(changed, grown.parameters(), strict=True)]
    assert all(moved)  # the new layers learn


@pytest.mark.parametrize("init", ["copy", "fresh"])
@pytest.mark.parametrize("space", [DISCRETE, gym.spaces.Box(-1, 1, (2,))])
@pytest.mark.parametrize(
    "network", [{}, {"shared": False, "depth": 2}, {"architecture": "grownn-ant"}]
)
def test_widening_keeps_policy_and_value_and_carries_adam_s_moments(space, network, init):
    agent = _agent(space, **network).double()
    optimizer, obs = _optimizer(agent), torch.randn(64, 5, dtype=torch.float64)
    _learn(agent, optimizer)
    before = [t.detach() for t in (*agent.policy_and_value(obs), agent.get_value(obs))]
    layer, reader = f"{agent.trunks[0]}.0.weight", "policy_head.weight"
    reader = reader if reader in dict(agent.named_parameters()) else "policy_head.0.weight"
    old = {n: optimizer.state[p]["exp_avg"].clone() for n, p in agent.named_parameters()}

    event = GrowthEvent(0, (Widen(24, init),))
    grown, optimizer, record = grow(agent, optimizer, event, obs, step=123)

    after = (*grown.policy_and_value(obs), grown.get_value(obs))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)
    assert type(grown) is type(agent)
    assert record.grade == "PROVED"
    assert record.layers_after == record.layers_before == agent.hidden_layers
    assert (record.width_before, record.width_after) == (16, 24)
    assert record.parameters_after - record.parameters_before == sum(
        p.numel() - old[n].numel() for n, p in grown.named_parameters()
    )
    states = {n: optimizer.state[p] for n, p in grown.named_parameters()}
    for name, parameter in grown.named_parameters():
        assert states[name]["exp_avg"].shape == states[name]["exp_avg_sq"].shape == parameter.shape
        assert states[name]["step"] == 3
    # The gradients of the copies of a unit sum to that of the unit; what reads them has it whole.
    torch.testing.assert_close(
        states[layer]["exp_avg"].sum(0), old[layer].sum(0), rtol=1e-12, atol=1e-15
    )
    assert torch.equal(states[reader]["exp_avg"][..., :16], old[reader][..., :16])

    changed = [p.detach().clone() for p in grown.parameters()]
    _learn(grown, optimizer)
    assert all(not torch.equal(a, b) for a, b in zip(changed, grown.parameters(), strict=True))


def test_growing_in_both_ways_is_one_event_with_one_grade():
    agent, obs = _agent(), torch.randn(8, 5)
    optimizer = _optimizer(agent)
    _learn(agent, optimizer)
    event = GrowthEvent(0, (Widen(24), Deepen(3)))
    grown, optimizer, record = grow(agent, optimizer, event, obs, 0)
    assert record.grade == "PROVED"
    assert (record.layers_after, record.width_after) == (3, 24)
    assert [text.split("(")[0] for text in record.passes] == ["WiderPass", *["DeeperPass"] * 2]
    _learn(grown, optimizer)
    assert grow(grown, optimizer, event, obs, 0) is None


def test_sizes_that_changed_are_told_with_what_they_were():
    row = {"layers_before": 1, "layers_after": 2, "width_before": 16, "width_after": 24}
    assert sizes_changed(row) == [("layers", 1, 2), ("width", 16, 24)]
    assert sizes_changed({**row, "layers_after": 1}) == [("width", 16, 24)]
    assert sizes_changed({"layers_before": 1, "layers_after": 2}) == [("layers", 1, 2)]


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
