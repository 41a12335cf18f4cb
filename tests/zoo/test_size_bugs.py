"""Planted bugs where axes change: each is caught by the checkers that the table names."""

import random
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import Report, VerificationError, WiderPass
from tests.zoo import size_bugs
from tests.zoo.planted import (
    EVERY_CHECKER,
    MANY_SEEDS,
    Row,
    assert_caught,
    assert_lists_every_bug,
    assert_nobody_objects,
    rows,
)

ROWS = rows("Axes that change")


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


def widen(name: str, change: str) -> Report:
    """Widens a model of the zoo with its optimizer and gradients, in train mode."""
    model = {kind.__name__.lower(): kind for kind in SITES}[name]().train()
    x = torch.randn(5, 4)
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    model(x).square().sum().backward()
    optimizer.step()
    init, _, inplace = change.partition(" ")
    wider = WiderPass(**SITES[type(model)], init=init)
    return morphir.transform(
        model, wider, optimizer=optimizer, example_inputs=(x,), inplace=bool(inplace),
        checks=EVERY_CHECKER,
    ).report  # fmt: skip


@pytest.mark.parametrize("name", ["branches", "attention", "heads"])
@pytest.mark.parametrize("change", ["copy", "fresh", "copy inplace", "fresh inplace"])
def test_without_a_bug_nobody_objects(name: str, change: str):
    assert_nobody_objects(partial(widen, name, change))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_by_those_the_table_names(row: Row):
    assert_caught(row, size_bugs, partial(widen, row.model, row.change))


@pytest.mark.nightly
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_with_twenty_seeds(row: Row):
    assert_caught(row, size_bugs, partial(widen, row.model, row.change), MANY_SEEDS)


def test_every_bug_is_in_the_table():
    assert_lists_every_bug(ROWS, size_bugs)


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
