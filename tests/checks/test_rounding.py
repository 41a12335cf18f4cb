"""RUN-6: what had to be rounded is measured."""

import pytest
import torch
from torch import nn

from morphir.checks.rounding import check_rounding, holding
from morphir.ir import Grade

X = {"forward": ((torch.randn(5, 3),), {})}


def models() -> tuple[nn.Module, nn.Module, dict[str, torch.Tensor]]:
    """A layer, the same with a rounded bias, and that bias in float64."""
    torch.manual_seed(0)
    old, new = nn.Linear(3, 2).double(), nn.Linear(3, 2).double()
    new.load_state_dict(old.state_dict())
    exact = torch.tensor([1 / 3, -2 / 3], dtype=torch.float64)
    old.bias.data = exact
    new.bias.data = exact.float().double()
    return old, new, {"bias": exact}


def test_run_6_how_far_rounding_moves_the_outputs():
    """RUN-6"""
    old, new, exact = models()
    stored = {"bias": nn.Parameter(exact["bias"].float())}
    check = check_rounding(old, new, X, stored, exact)
    assert (check.name, check.grade) == ("rounding", Grade.TESTED)
    gap = (exact["bias"] - exact["bias"].float()).abs().max().item()
    assert check.figures["rounding"] == gap
    assert check.figures["bound"] == pytest.approx(gap, rel=1e-6)
    assert "1 tensor rounded, by at most 2e-08; no output differs by more than" in check.summary


def test_run_6_what_is_not_the_rounded_sum_is_refuted():
    """RUN-6"""
    old, new, exact = models()
    off = exact["bias"].float().nextafter(torch.tensor(9.0))
    check = check_rounding(old, new, X, {"bias": off}, exact)
    assert (check.grade, check.where) == (Grade.REFUTED, "bias")


def test_a_model_holds_other_numbers_for_a_while():
    _, model, exact = models()
    before = model.bias.data.clone()
    with holding(model, exact):
        assert torch.equal(model.bias, exact["bias"])
    assert torch.equal(model.bias, before)
