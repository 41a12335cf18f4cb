"""Planted bugs: each is caught by the checkers that the table names, at the place that it names."""

import random
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, MorphirError, Report
from tests.zoo import bugs, state_bugs
from tests.zoo.planted import (
    EVERY_CHECKER,
    MANY_SEEDS,
    Row,
    assert_caught,
    assert_lists_every_bug,
    assert_nobody_objects,
    rows,
)

TABLES = {"Inserted layers": bugs, "What belongs to a model": state_bugs}
PLANTED = [(module, row) for section, module in TABLES.items() for row in rows(section)]


def hook(module: nn.Module, args: Any, result: Any) -> None:
    """Does nothing."""


def dense() -> tuple[nn.Module, torch.Tensor]:
    """Linear layers with everything that can be lost."""
    model = nn.Sequential()
    for name, layer in {
        "0": nn.Linear(8, 8),
        "1": nn.ReLU(),
        "norm": nn.BatchNorm1d(8),
        "drop": nn.Dropout(0.5),
        "tied": nn.Linear(8, 8),
        "2": nn.Linear(8, 4),
    }.items():
        model.add_module(name, layer)
    model.tied.weight = model.get_submodule("0").weight
    model.get_submodule("0").register_forward_hook(hook)
    model.get_submodule("0").bias.requires_grad_(False)
    x = torch.randn(6, 8)
    model(x).sum().backward()
    return model, x


def plain() -> tuple[nn.Module, torch.Tensor]:
    """Linear layers without biases."""
    layers = [nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 4, bias=False)]
    return nn.Sequential(*layers), torch.randn(6, 8)


def tanh() -> tuple[nn.Module, torch.Tensor]:
    """An activation that is no identity anywhere."""
    return nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4)), torch.randn(6, 8)


def clipped() -> tuple[nn.Module, torch.Tensor]:
    """An activation with settings of its own."""
    layers = [nn.Linear(8, 8), nn.Hardtanh(-0.1, 9.0), nn.Linear(8, 4)]
    return nn.Sequential(*layers), torch.randn(6, 8)


class Called(nn.Module):
    """A tanh that is called as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.fc(x)))


def called() -> tuple[nn.Module, torch.Tensor]:
    """An activation that is no module."""
    return Called(), torch.randn(6, 8)


def images() -> tuple[nn.Module, torch.Tensor]:
    """Grouped convolutions."""
    layers = [nn.Conv2d(4, 8, 3, groups=2), nn.ReLU(), nn.Conv2d(8, 2, 1)]
    return nn.Sequential(*layers), torch.randn(2, 4, 6, 6)


MODELS: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    make.__name__: make for make in (dense, plain, tanh, clipped, called, images)
}


def grow(name: str, block: str) -> Report:
    """Grows a model of the zoo with its optimizer, in train mode."""
    model, x = MODELS[name]()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    optimizer.step()
    bugs.VICTIM[:] = [model]
    kind, _, kernel = block.partition(" ")
    size = int(kernel) if kernel else None
    deeper = DeeperPass(at="fc" if name == "called" else "1", block=kind, kernel_size=size)
    return morphir.transform(
        model, deeper, optimizer=optimizer, example_inputs=(x,), checks=EVERY_CHECKER
    ).report


@pytest.mark.parametrize("name", ["dense", "plain", "images", "clipped"])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_without_a_bug_nobody_objects(name: str, block: str):
    assert_nobody_objects(partial(grow, name, block))


@pytest.mark.parametrize(("module", "row"), PLANTED, ids=lambda each: getattr(each, "bug", ""))
def test_every_bug_is_caught_by_those_the_table_names(module: ModuleType, row: Row):
    assert_caught(row, module, partial(grow, row.model, row.change))


@pytest.mark.nightly
@pytest.mark.parametrize(("module", "row"), PLANTED, ids=lambda each: getattr(each, "bug", ""))
def test_every_bug_is_caught_with_twenty_seeds(module: ModuleType, row: Row):
    assert_caught(row, module, partial(grow, row.model, row.change), MANY_SEEDS)


@pytest.mark.parametrize("section", TABLES)
def test_every_bug_is_in_the_table_and_there_are_enough(section: str):
    table = rows(section)
    assert_lists_every_bug(table, TABLES[section])
    assert len(table) >= 10


def test_a_caught_bug_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    bugs.rolled_eye(monkeypatch, random.Random(0))
    model, x = dense()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(MorphirError):
        morphir.transform(model, DeeperPass(at="1"), example_inputs=(x,), inplace=True)
    assert [*model.state_dict()] == [*state]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
