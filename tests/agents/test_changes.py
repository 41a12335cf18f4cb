import gymnasium as gym
import pytest
import torch

import morphir
from morphir_agents.changes import Deepen, Widen
from morphir_agents.encoding import Vector
from morphir_agents.growth import GrowthEvent, grow
from morphir_agents.networks import NetworkConfig, build_agent


def _agent(**network):
    config = NetworkConfig(width=16, **network)
    return build_agent(config, Vector(5, False), gym.spaces.Discrete(3), seed=0)


def test_deepening_is_one_pass_per_missing_layer_and_trunk():
    passes = Deepen(3, "residual").passes(_agent(shared=False))
    assert passes == [
        morphir.DeeperPass(at=f"{trunk}.1", block="residual")
        for trunk in ("policy_trunk", "value_trunk")
        for _ in range(2)
    ]
    assert Deepen(1).passes(_agent()) == []


def test_widening_is_one_pass_over_all_layers_that_are_narrower():
    agent = _agent(shared=False, depth=2)
    layers = [f"{trunk}.{n}" for trunk in ("policy_trunk", "value_trunk") for n in (0, 2)]
    expected = morphir.WiderPass(at=layers, width=24, init="fresh", seed=7)
    assert Widen(24, "fresh", 7).passes(agent) == [expected]
    assert Widen(16).passes(agent) == []


@pytest.mark.parametrize("block", ["residual", "parametric"])
def test_layers_that_were_inserted_are_widened_too(block):
    agent = _agent(activation="tanh")
    optimizer, obs = torch.optim.Adam(agent.parameters()), torch.randn(4, 5)
    for change in (Deepen(2, block), Widen(20)):
        agent, optimizer, record = grow(agent, optimizer, GrowthEvent(0, (change,)), obs, 0)
        assert record.grade == "PROVED"
    linears = [m for m in agent.trunk.modules() if isinstance(m, torch.nn.Linear)]
    assert len(linears) > 1
    assert {m.out_features for m in linears} == {20}
