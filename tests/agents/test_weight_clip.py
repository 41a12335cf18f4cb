"""NE-1: what is clipped, and where."""

import math

import pytest
import torch
from torch import nn

from morphir_agents.heads import HeadLayer
from morphir_agents.weight_clip import WeightClip


def net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 5, bias=False), nn.LayerNorm(5)
    )


@pytest.mark.parametrize("kappa", [0.5, 3.0])
def test_ne_1_every_number_of_a_layer_is_clipped_and_nothing_else(kappa: float):
    """NE-1"""
    model = net()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(10)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    WeightClip(model, kappa).apply()
    inputs = {"0.weight": 18, "0.bias": 18, "3.weight": 12}
    for name, parameter in model.named_parameters():
        wanted = before[name]
        if name in inputs:
            bound = kappa / math.sqrt(inputs[name])
            wanted = wanted.clamp(-bound, bound)
            assert not torch.equal(wanted, before[name])
        assert torch.equal(parameter, wanted), name


def test_ne_1_at_kappa_1_a_new_network_is_as_it_was():
    """NE-1: the bound is that of torch's initialisation"""
    model = net()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    WeightClip(model, 1.0).apply()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_network_without_layers_is_left_alone():
    WeightClip(nn.LayerNorm(3), 1.0).apply()


def test_ne_1_of_several_heads_that_of_the_task_is_clipped_as_if_it_were_alone():
    """NE-1"""
    layer = HeadLayer(12, 5, axis=1)
    layer.part = slice(2, 6)
    with torch.no_grad():
        layer.weight.mul_(10)
    before = layer.weight.detach().clone()
    WeightClip(layer, 1.0).apply()
    wanted = before.clone()
    wanted[:, 2:6].clamp_(-0.5, 0.5)
    assert torch.equal(layer.weight, wanted)
    assert not torch.equal(wanted, before)
