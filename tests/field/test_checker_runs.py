"""Models are run as their users run them, on as many different inputs as is said."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from morphir import Grade
from morphir.field import check_field
from morphir.field.residues import Residues
from morphir.ir import Extension
from tests.field.nets import X, checked, mlp


def noted(model: nn.Module) -> tuple[nn.Module, list[Any]]:
    """A model, and a list of what it is called on in any copy."""
    seen: list[Any] = []

    def note(_: nn.Module, args: Any) -> None:
        (x,) = args
        seen.append((x.residues if isinstance(x, Residues) else x).tolist())

    model.register_forward_pre_hook(note)
    return model, seen


@pytest.mark.parametrize("x", [X, X[:5], X[0]])
def test_field_8_so_many_different_inputs_are_tried(x: torch.Tensor):
    model, seen = noted(mlp())
    found = checked(model, mlp_like(model), x)
    assert (found.name, found.grade) == ("field", Grade.TESTED)
    count = int(found.figures["inputs"])
    assert found.summary.startswith(f"the same residues on {count} inputs modulo 2 primes")
    rows = [row for each in seen for row in (each if x.dim() > 1 else [each])]
    assert len({tuple(row) for row in rows}) >= count >= 32


def test_a_mask_may_be_a_buffer():
    class Masked(nn.Module):
        def __init__(self, *, is_buffer: bool) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)
            if is_buffer:
                mask = torch.full((4, 4), -torch.inf).triu(1)
                self.register_buffer("mask", mask, persistent=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.layer(x)
            given = getattr(self, "mask", None)
            return nn.functional.scaled_dot_product_attention(
                y, y, y, attn_mask=given, is_causal=given is None
            )

    before, after = Masked(is_buffer=False), Masked(is_buffer=True)
    after.load_state_dict(before.state_dict())
    x = torch.randn(3, 4, 4)
    assert checked(before, after, x).grade is Grade.TESTED
    after.mask.fill_(-torch.inf).triu_(2)
    assert checked(before, after, x).grade is Grade.UNKNOWN


def mlp_like(model: nn.Module) -> nn.Module:
    twin = mlp()
    twin.load_state_dict(model.state_dict())
    return twin


def test_field_8_outputs_turned_round_along_another_axis_are_no_rows():
    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.layer(x)
            return y[1:] + y[:-1]

    model, seen = noted(Pairs())
    assert checked(model, copy.deepcopy(model), X[:3]).figures["inputs"] == 32
    assert len({str(each) for each in seen}) > 32


def test_whole_numbers_are_tried_as_they_are_given_and_then_in_other_orders():
    model, seen = noted(nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(20, 3)))
    row = torch.tensor([[0, 1, 2, 3, 4]])
    assert checked(model, copy.deepcopy(model), row).grade is Grade.TESTED
    assert seen[0] == row.tolist()
    assert all(sorted(each[0]) == row[0].tolist() for each in seen)
    assert sum(each != row.tolist() for each in seen) >= 32


class Acting(nn.Module):
    """An agent whose policy is called by a method of a module in it."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.policy = Policy(factor)

    def forward(self, x: torch.Tensor, *, scale: float) -> torch.Tensor:
        return self.policy.net(x) * scale


class Policy(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.net, self.factor = mlp(), factor

    def act(self, x: torch.Tensor, *, scale: float) -> torch.Tensor:
        return self.net(x)[:, :2] * self.factor * scale


def test_methods_of_modules_inside_are_entry_points():
    old, new = Acting(), Acting(2.0)
    new.load_state_dict(old.state_dict())
    inputs = {"policy.act": ((X,), {"scale": 2.0})}
    assert check_field(old, copy.deepcopy(old), inputs).grade is Grade.TESTED
    assert check_field(old, new, inputs).where == "policy.act: what it returns"


@pytest.mark.parametrize("entry_point", ["forward", "policy.act"])
def test_arguments_may_go_by_name(entry_point: str):
    old = Acting()
    found = check_field(old, copy.deepcopy(old), {entry_point: ((X,), {"scale": 2.0})})
    assert found.grade is Grade.TESTED


def test_hooks_of_the_model_itself_are_run():
    old = mlp()
    new = copy.deepcopy(old)
    new.register_forward_hook(lambda _, __, result: result * 2)
    assert checked(old, new, X).figures["differs"] == 1


def test_buffers_of_whole_numbers_stay_what_they_are():
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(5, 4)
            self.register_buffer("places", torch.arange(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.embed(self.places)

    old = Positions()
    assert checked(old, copy.deepcopy(old), X).grade is Grade.TESTED


@pytest.mark.parametrize(
    ("entry_point", "path", "grade"),
    [
        ("forward", "", Grade.TESTED),
        ("policy.act", "", Grade.UNKNOWN),
        ("forward", "[0]", Grade.UNKNOWN),
    ],
)
def test_an_output_is_longer_where_it_is_said_to_be(entry_point: str, path: str, grade: Grade):
    old = Acting()
    new = copy.deepcopy(old)
    last = nn.Linear(8, 5)
    with torch.no_grad():
        last.weight[:3], last.bias[:3] = old.policy.net[4].weight, old.policy.net[4].bias
    new.policy.net[4] = last
    claim = Extension(entry_point, path, 1, 3, 5)
    inputs = dict.fromkeys(("forward", "policy.act"), ((X,), {"scale": 1.0}))
    assert check_field(old, new, inputs, outputs=[claim]).grade is grade
