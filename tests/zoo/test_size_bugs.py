"""Planted bugs where axes change: each is caught by the checkers that the table names.

The table stands in spec/certificate.md, below that of the insertions, and is read from there.
"""

import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, RefusalError, VerificationError, WiderPass
from tests.zoo import size_bugs

SEEDS = range(4)
SPEC = Path(__file__).parents[2] / "spec" / "certificate.md"
HEAD = "| bug | model | change |"


def rows() -> list[list[str]]:
    """The rows of the table: bug, model, change, place, caught by."""
    table = SPEC.read_text(encoding="utf8").partition(HEAD)[2].partition("\n\n")[0]
    lines = table.splitlines()[2:]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines]


ROWS = rows()


class Branches(nn.Module):
    """Two readers of one layer, one of them behind a concatenation, and a tied layer."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.other = nn.Linear(4, 6), nn.Linear(4, 6)
        self.other.weight = self.fc.weight
        self.norm = nn.BatchNorm1d(6)
        self.left, self.right = nn.Linear(6, 3), nn.Linear(6 + 3, 2)
        self.fc.bias.requires_grad_(False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = torch.tanh(self.norm(self.fc(x)) + self.other(x))
        return self.right(torch.cat([h, self.left(h)], 1))


class Attention(nn.Module):
    """Queries and keys with an inner width of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(self.q(x) @ self.k(x).T / 2, -1) @ self.v(x)


class Heads(nn.Module):
    """Attention with heads, whose number is an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.qkv, self.out = nn.Linear(4, 3 * 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (p.view(len(x), self.heads, -1).transpose(0, 1) for p in self.qkv(x).chunk(3, -1))
        mixed = torch.softmax(q @ k.mT / 2, -1) @ v
        return self.out(mixed.transpose(0, 1).flatten(1))


SITES: dict[type[nn.Module], dict[str, Any]] = {
    Branches: {"at": "fc", "width": 9},
    Attention: {"at": "q", "width": 9},
    Heads: {"at": "qkv", "heads": 4},
}


def widen(name: str, change: str) -> Any:
    """Widens a model of the zoo with its optimizer and gradients, in train mode."""
    model = {kind.__name__.lower(): kind for kind in SITES}[name]().train()
    x = torch.randn(5, 4)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(x).square().sum().backward()
    optimizer.step()
    init, _, inplace = change.partition(" ")
    wider = WiderPass(**SITES[type(model)], init=init)
    return morphir.transform(
        model, wider, optimizer=optimizer, example_inputs=(x,), inplace=bool(inplace)
    )


def catch(name: str, change: str) -> dict[str, str]:
    """The checkers that object, each with the place that it names."""
    try:
        report = widen(name, change).report
    except RefusalError as error:
        return {"refused": str(error)}
    except VerificationError as error:
        if error.report is None:
            return {"emission": str(error)}
        report = error.report
    return {
        check.name.removeprefix("certificate (").removesuffix(")"): check.where
        for check in report.checks
        if check.grade in (Grade.UNKNOWN, Grade.REFUTED)
    }


@pytest.mark.parametrize("name", ["branches", "attention", "heads"])
@pytest.mark.parametrize("change", ["copy", "fresh", "copy inplace", "fresh inplace"])
def test_without_a_bug_nobody_objects(name: str, change: str):
    for seed in SEEDS:
        torch.manual_seed(seed)
        assert not catch(name, change)


def run(name: str, model: str, change: str) -> list[dict[str, str]]:
    """What objects to a bug, for each seed."""
    outcomes = []
    for seed in SEEDS:
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            getattr(size_bugs, name)(patch, random.Random(seed))
            outcomes.append(catch(model, change))
    return outcomes


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_bug_is_caught_by_those_the_table_names(row: list[str]):
    name, model, change, place, caught_by = row
    outcomes = run(name.replace(" ", "_"), model, change)
    always = set.intersection(*(set(outcome) for outcome in outcomes))
    assert always == {*caught_by.split(", ")}
    places = [where for outcome in outcomes for where in outcome.values()]
    first = [re.search(re.escape(place), "\n".join(outcome.values())) for outcome in outcomes]
    assert all(first), places


def test_every_bug_is_in_the_table():
    planted = {
        name
        for name, value in vars(size_bugs).items()
        if callable(value)
        and getattr(value, "__module__", "") == size_bugs.__name__
        and not name.startswith("_")
    }
    assert planted == {row[0].replace(" ", "_") for row in ROWS}
    assert all(row[4] for row in ROWS)


@pytest.mark.parametrize("bug", ["shares_not_exact", "gradient_lost", "moment_left_as_it_was"])
def test_a_caught_bug_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, bug: str):
    torch.manual_seed(0)
    getattr(size_bugs, bug)(monkeypatch, random.Random(0))
    model, inplace = Branches(), bug != "shares_not_exact"  # which undo would merge
    x = torch.randn(5, 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model(x).square().sum().backward()
    optimizer.step()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    moments = [value.clone() for s in optimizer.state.values() for value in s.values()]
    with pytest.raises(VerificationError):
        morphir.transform(
            model, WiderPass(at="fc", width=9), example_inputs=(x,), optimizer=optimizer,
            inplace=inplace,
        )  # fmt: skip
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    after = [value for s in optimizer.state.values() for value in s.values()]
    assert all(map(torch.equal, moments, after))
