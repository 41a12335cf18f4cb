"""Planted bugs: each is caught by the checkers that the table names, at the place that it names.

The table stands in spec/certificate.md and is read from there. A checker stands in a row if it
caught the bug with every seed.
"""

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade, MorphirError, RefusalError, VerificationError
from tests.zoo import bugs

SEEDS = range(4)
SPEC = Path(__file__).parents[2] / "spec" / "certificate.md"


def rows() -> list[list[str]]:
    """The rows of the table of planted bugs: bug, model, block, place, caught by."""
    table = SPEC.read_text(encoding="utf8").partition("| bug | model |")[2].partition("\n\n")[0]
    lines = table.splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


ROWS = rows()


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


def grow(name: str, block: str) -> Any:
    """Grows a model of the zoo with its optimizer, in train mode."""
    model, x = globals()[name]()
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    optimizer.step()
    bugs.VICTIM[:] = [model]
    kind, _, kernel = block.partition(" ")
    size = int(kernel) if kernel else None
    deeper = DeeperPass(at="fc" if name == "called" else "1", block=kind, kernel_size=size)
    return morphir.transform(model, deeper, optimizer=optimizer, example_inputs=(x,))


def catch(name: str, block: str) -> dict[str, str]:
    """The checkers that object, each with the place that it names."""
    try:
        result = grow(name, block)
    except RefusalError as error:
        return {"refused": str(error)}
    except VerificationError as error:
        if error.report is None:
            return {"emission": str(error)}
        report = error.report
    else:
        report = result.report
    return {
        check.name.removeprefix("certificate (").removesuffix(")"): check.where
        for check in report.checks
        if check.grade in (Grade.UNKNOWN, Grade.REFUTED)
    }


@pytest.mark.parametrize("name", ["dense", "plain", "images", "clipped"])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_without_a_bug_nobody_objects(name: str, block: str):
    for seed in SEEDS:
        torch.manual_seed(seed)
        assert not catch(name, block)


def run(name: str, model: str, block: str) -> list[dict[str, str]]:
    """What objects to a bug, for each seed."""
    outcomes = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            getattr(bugs, name)(patch, random.Random(seed))
            outcomes.append(catch(model, block))
    return outcomes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_bug_is_caught_by_those_the_table_names(row: list[str]):
    name, model, block, place, caught_by = row
    outcomes = run(name.replace(" ", "_"), model, block)
    always = set.intersection(*(set(outcome) for outcome in outcomes))
    assert always == set(caught_by.split(", "))
    places = [where for outcome in outcomes for where in outcome.values()]
    first = [re.search(re.escape(place), "\n".join(outcome.values())) for outcome in outcomes]
    assert all(first), places


def test_every_bug_is_in_the_table_and_there_are_enough():
    planted = {
        name
        for name, value in vars(bugs).items()
        if callable(value)
        and getattr(value, "__module__", "") == bugs.__name__
        and not name.startswith("_")
    }
    assert planted == {row[0].replace(" ", "_") for row in ROWS}
    assert len(ROWS) >= 10
    assert all(row[4] for row in ROWS)


def test_a_caught_bug_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch):
    torch.manual_seed(0)
    bugs.rolled_eye(monkeypatch, random.Random(0))
    model, x = dense()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(MorphirError):
        morphir.transform(model, DeeperPass(at="1"), example_inputs=(x,), inplace=True)
    assert [*model.state_dict()] == [*state]
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
