"""A sparse net with silent units, what is kept of it, and what a literal loop says of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.testing.preserving import used_optimizer
from tests.passes.masked import masked

WIDTHS = (9, 7)
Place = tuple[str, int, int]  # a weight, its row and its column


def net(
    silent: tuple[Sequence[int], Sequence[int]], density: float | None = 0.5, seed: int = 0
) -> nn.Sequential:
    """Three layers; the silent units of the first two have no incoming number, not even a bias."""
    torch.manual_seed(seed)
    first, second = WIDTHS
    model = nn.Sequential(
        nn.Linear(5, first), nn.ReLU(), nn.Linear(first, second), nn.ReLU(), nn.Linear(second, 3)
    )
    if density is not None:
        masked(model, density, seed)
    with torch.no_grad():
        for layer, units in zip((model[0], model[2]), silent, strict=True):
            layer.bias.uniform_(0.5, 1)  # so that all others are awake
            layer.weight.abs_()
            layer.weight[list(units)] = 0
            layer.bias[list(units)] = 0
    return model


def batch(seed: int = 0) -> torch.Tensor:
    """Data on which all units but the silent ones are active."""
    return torch.rand(16, 5, generator=torch.Generator().manual_seed(seed)) + 0.1


def scores(model: Any, x: torch.Tensor) -> list[list[float]]:
    """The scores of the units of both hidden layers, number by number (Sokar et al., eq. 1)."""
    found = []
    h = x
    for layer in (model[0], model[2]):
        h = torch.relu(layer(h)).detach()
        sizes = [sum(abs(float(row[unit])) for row in h) / len(h) for unit in range(h.shape[1])]
        mean = sum(sizes) / len(sizes)
        found.append([size / mean if mean else size for size in sizes])
    return found


def dormant(model: nn.Module, x: torch.Tensor, threshold: float) -> list[set[int]]:
    """The dormant units of both hidden layers."""
    return [{u for u, s in enumerate(each) if s <= threshold} for each in scores(model, x)]


def places_of(model: nn.Module, units: Sequence[set[int]]) -> set[Place]:
    """The weights that come from one of these units, or lead to one."""
    first, second = units
    found = set()
    for name, rows, columns in (
        ("0.weight", first, set()), ("2.weight", second, first), ("4.weight", set(), second),
    ):  # fmt: skip
        for row in range(model.get_parameter(name).shape[0]):
            for column in range(model.get_parameter(name).shape[1]):
                if row in rows or column in columns:
                    found.add((name, row, column))
    return found


def lost(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[Place]:
    """The weights that cease to be used; none begins to be."""
    found = set()
    for name, mask in before.items():
        assert bool((after[name] <= mask).all()), name
        rows, columns = (mask != after[name]).nonzero(as_tuple=True)
        found |= {(name, int(a), int(b)) for a, b in zip(rows, columns, strict=True)}
    return found


def learned(model: nn.Module, seed: int = 0) -> tuple[Optimizer, dict[str, dict[str, Any]]]:
    """An optimizer with a state that is 0 nowhere, and a copy of it by parameter."""
    optimizer = used_optimizer(model, seed)
    assert optimizer is not None
    return optimizer, states(model, optimizer)


def states(model: nn.Module, optimizer: Optimizer) -> dict[str, dict[str, Any]]:
    """A copy of what an optimizer keeps, by parameter."""
    named = model.named_parameters()
    return {name: copy.deepcopy(optimizer.state.get(each, {})) for name, each in named}


def assert_fresh_exactly(
    before: Mapping[str, Mapping[str, Any]],
    after: Mapping[str, Mapping[str, Any]],
    places: Mapping[str, torch.Tensor],
) -> None:
    """STATE-19: moments are 0 at these places and what they were at all others; steps go on."""
    assert before.keys() == after.keys()
    for name, state in before.items():
        at = places.get(name, torch.tensor(False)).expand(state["exp_avg"].shape)
        assert torch.equal(state["step"], after[name]["step"])
        for entry in ("exp_avg", "exp_avg_sq"):
            assert not after[name][entry][at].any(), (name, entry)
            assert torch.equal(after[name][entry][~at], state[entry][~at]), (name, entry)
            assert bool(state[entry].all()), "it shows nothing where it was 0"
