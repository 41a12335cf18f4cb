"""RUN-3, RUN-4, RUN-10: what is measured on data, and what is run within bounds."""

import copy

import torch
from torch import nn

from morphir.checks import check_drift, check_on_data, check_within
from morphir.ir import Grade


def pair(change: float = 0.0) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    other = copy.deepcopy(net)
    with torch.no_grad():
        other[2].bias[1] += change
    return net, other


def test_run_3_the_bound_is_the_worst_difference():
    x = torch.randn(7, 3)
    found = check_on_data(*pair(0.25), {"forward": ((x,), {})})
    assert found.grade is Grade.EMPIRICAL
    assert abs(found.figures["bound"] - 0.25) < 1e-12
    assert "on 7 rows" in found.summary


def test_run_10_a_change_that_is_meant_is_measured_in_the_same_way():
    """RUN-10"""
    x = {"forward": ((torch.randn(7, 3),), {})}
    found, measured = check_drift(*pair(0.25), x), check_on_data(*pair(0.25), x)
    assert (found.name, found.grade) == ("drift", Grade.NOT_PRESERVING)
    assert (found.summary, found.figures) == (measured.summary, measured.figures)
    infinite = {"forward": ((torch.full((1, 3), torch.inf),), {})}
    assert check_drift(*pair(0.25), infinite).grade is Grade.UNKNOWN


def test_run_3_what_cant_be_measured_is_unknown():
    old, new = pair()
    bad = check_on_data(old, new, {"forward": ((torch.randn(7, 5),), {})})
    assert bad.grade is Grade.UNKNOWN
    infinite = check_on_data(old, new, {"forward": ((torch.full((1, 3), torch.inf),), {})})
    assert infinite.grade is Grade.UNKNOWN


def test_run_3_another_shape_is_refuted():
    old, _ = pair()
    wider = nn.Sequential(nn.Linear(3, 5)).double()
    x = torch.randn(2, 3)
    assert check_on_data(old, wider, {"forward": ((x,), {})}).grade is Grade.REFUTED


def test_run_4_only_inputs_within_the_bounds_count():
    """They differ for large inputs only: the second clamps."""
    old, _ = pair()
    new = nn.Sequential(nn.Hardtanh(-1.0, 1.0), *copy.deepcopy(old)).eval()
    inputs = {"forward": ((5 * torch.randn(9, 3),), {})}
    assert check_within(old, new, inputs, {"forward": [(-1.0, 1.0)]}).grade is Grade.TESTED
    assert check_within(old, new, inputs, {"forward": [(-2.0, 2.0)]}).grade is Grade.REFUTED
    assert check_within(old, new, inputs, {}).grade is Grade.REFUTED
