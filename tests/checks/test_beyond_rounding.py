"""RUN-9: what rounding can explain, and what it can't."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, WiderPass
from morphir.checks import check_double, double_copy
from morphir.checks.beyond_rounding import Rounding, beyond_rounding
from morphir.checks.extended import Extended
from morphir.ops import DEFAULT_TABLE


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def compared(before: nn.Module, after: nn.Module, x: torch.Tensor) -> Rounding:
    models = double_copy(before), double_copy(after)
    arguments = ((x.double(),), {})
    return beyond_rounding(models, "forward", (arguments, arguments), Extended())


def test_run_9_rounding_explains_what_a_wider_model_does_otherwise():
    """RUN-9"""
    torch.manual_seed(0)
    x, net = torch.randn(5, 8), mlp()
    wider = morphir.transform(net, WiderPass(at="0", width=23), example_inputs=(x,)).module
    found = compared(net, wider, x)
    assert found.beyond is None
    assert 0 < found.bound < 1e-12


def test_run_9_finds_less_than_run_1_allows():
    """RUN-9: 1e-13 of a number is within RUN-1's tolerance, and more than rounding does."""
    torch.manual_seed(0)
    before = nn.Linear(4, 4, bias=False).double()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.weight.mul_(1 + 2e-13)
    inputs = {"forward": ((torch.randn(3, 4).double(),), {})}
    check = check_double(double_copy(before), double_copy(after), inputs, DEFAULT_TABLE)
    assert check.figures["worst"] < 1e-12
    assert (check.name, check.grade) == ("float64", Grade.REFUTED)
    assert "of which rounding explains no more than" in check.summary
    assert check.where == "forward on the given inputs: output ''"
    assert check.arguments is not None


def test_run_9_a_refutation_says_whether_rounding_can_explain_it():
    """RUN-9"""
    torch.manual_seed(0)
    before, x = mlp(), torch.randn(3, 8)
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].weight[0, 0] *= 1 + 2**-20
    report = morphir.verify(before, after, example_inputs=(x,), checks=("float64",))
    assert report.check("float64").summary.endswith("more than rounding can explain")


def test_run_9_the_figure_is_in_the_check_where_all_is_bounded():
    """RUN-9"""
    inputs = {"forward": ((torch.randn(3, 8),), {})}
    net = double_copy(mlp())
    figures = check_double(net, double_copy(net), inputs, DEFAULT_TABLE).figures
    assert 0 < figures["rounding"] < 1e-12

    class Inverse(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.inv(x.T @ x + torch.eye(8)) * 2

    inverse = Inverse()
    assert "rounding" not in check_double(inverse, inverse, inputs, DEFAULT_TABLE).figures


class Leak(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * float((x * 0.3).sum())


def test_run_9_nothing_is_held_against_numbers_that_python_made():
    """RUN-9: what comes of them has no bound."""
    found = compared(Leak(), Leak(), torch.randn(3, 8))
    assert found == Rounding(bound=math.inf)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda x: x.sum(), "another shape"),
        (lambda x: x > 0, "no fractions"),
        (lambda x: x * math.inf, "nothing finite"),
        (lambda x: x.new_zeros(0), "no elements"),
    ],
)
def test_run_9_what_has_no_numbers_to_compare_is_left_to_run_1(
    other: Callable[[torch.Tensor], torch.Tensor], why: str
):
    """RUN-9"""

    class Other(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return other(x)

    assert compared(nn.Identity(), Other(), torch.randn(3, 8)).beyond is None, why
    assert compared(Other(), Other(), torch.randn(3, 8)).beyond is None, why
