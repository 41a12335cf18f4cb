"""Snapshots: what differs is named."""

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from morphir.randomness import kept_random_state
from morphir.testing.snapshots import difference, numbers, random_state, snapshot


def net() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "tensor '0.weight' differs": lambda m: m[0].weight.data.view(-1)[0].add_(1),
    "tensor '0.bias' differs": lambda m: m[0].bias.requires_grad_(False),
    "tensor '1.running_mean' differs": lambda m: m[1].running_mean.add_(1),
    "module '1' differs": lambda m: m[1].eval(),
    "module '' differs": lambda m: m.append(nn.ReLU()),
    "module '0' differs": lambda m: setattr(m[0], "out_features", 3),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_of_a_module_is_seen(name: str):
    module = net()
    before = snapshot(module)
    assert not difference(before, snapshot(module))
    CHANGES[name](module)
    assert difference(before, snapshot(module)) == name


def test_what_changes_of_an_optimizer_is_seen():
    module = net()
    optimizer = torch.optim.Adam(module.parameters())
    before = snapshot(module, optimizer)
    optimizer.param_groups[0]["lr"] = 0.5
    assert difference(before, snapshot(module, optimizer)) == "the optimizer differs"
    optimizer.param_groups[0]["lr"] = 1e-3
    assert not difference(before, snapshot(module, optimizer))
    optimizer.param_groups[0]["params"][0] = nn.Parameter(module[0].weight.detach().clone())
    assert difference(before, snapshot(module, optimizer)) == "what the optimizer holds differs"


@pytest.mark.parametrize(
    ("draw", "name"),
    [
        (lambda: torch.rand(1), "torch's random state differs"),
        (lambda: np.random.rand(), "numpy's random state differs"),
        (lambda: random.random(), "Python's random state differs"),
    ],
)
def test_drawing_is_seen(draw: Callable[[], object], name: str):
    with kept_random_state():
        before = random_state()
        assert not difference(before, random_state())
        draw()
        assert difference(before, random_state()) == name


def test_numbers_are_compared_by_bits_shape_and_name():
    zero, negative = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        zero.weight.fill_(0.0)
        negative.weight.fill_(-0.0)
    assert difference(numbers(zero), numbers(negative)) == "tensor 'weight' differs"
    assert difference(numbers(zero), {}) == "tensor 'weight' is gone"
    assert difference({}, numbers(zero)) == "tensor 'weight' is new"
