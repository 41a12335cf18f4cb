"""GRADE-1 to GRADE-4: one grade from the outcomes of the checks."""

import pytest
import torch
from torch import nn

from morphir.grading import check_finite, unexercised, verdict
from morphir.ir import Check, Grade

P, B, T, E, N, U, R = (
    Grade.PROVED, Grade.PROVED_ON_BOX, Grade.TESTED, Grade.EMPIRICAL, Grade.NOT_PRESERVING,
    Grade.UNKNOWN, Grade.REFUTED,
)  # fmt: skip


@pytest.mark.parametrize(
    ("outcomes", "grade"),
    [
        ({"certificate": P, "float64": T}, P),
        ({"certificate": P, "certificate (train)": U}, U),
        ({"certificate": P, "certificate (train)": B}, B),
        ({"certificate": B, "certificate (train)": P}, B),
        ({"certificate": U, "float64": T}, T),
        ({"certificate": U}, U),
        ({"certificate": U, "field": T}, T),
        ({"certificate": P, "field": U}, P),
        ({"certificate": P, "float64": R}, R),
        ({"certificate": P, "kept": R}, R),
        ({"certificate": U, "data": E, "kept": T}, E),
        ({"certificate": P, "data": E}, P),
        ({"certificate": U, "data": R}, R),
        ({"finite": U, "certificate": P, "float64": T}, U),
        ({"certificate": U, "drift": N}, N),
        ({"certificate": P, "drift": N}, P),
        ({"certificate": U, "drift": N, "kept": R}, R),
        ({"certificate": U, "drift": U}, U),
        ({"finite": U, "certificate": U, "data": E}, U),
        ({"finite": U, "certificate": P, "kept": R}, R),
    ],
)
def test_grade_1_2_and_4(outcomes, grade):
    """GRADE-1, GRADE-2, GRADE-4"""
    assert verdict([Check(name, found, "") for name, found in outcomes.items()]) is grade


@pytest.mark.parametrize(
    ("proof", "facts", "grade"), [(P, 0, U), (P, 1, P), (B, 1, B), (U, 0, U), (U, 1, U)]
)
def test_grade_3_a_difference_in_a_field_needs_a_fact_that_explains_it(proof, facts, grade):
    """GRADE-3"""
    checks = [
        Check("certificate", proof, "", figures={"facts": 1.0} if facts else {}),
        Check("field", U, "", figures={"differs": 1.0}),
        Check("float64", T, ""),
    ]
    assert verdict(checks) is grade


def test_grade_4_parameters_that_are_not_finite_are_named_and_no_others():
    """GRADE-4"""
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)).half()
    with torch.no_grad():
        net[0].weight.fill_(6e4)  # finite, though their sum is not
    assert check_finite(net) == []
    net[1].register_parameter("count", nn.Parameter(torch.tensor([2**62] * 4), requires_grad=False))
    small = torch.full((2,), float("nan")).to(torch.float8_e5m2)
    net[1].register_parameter("small", nn.Parameter(small, requires_grad=False))
    assert check_finite(net) == []
    with torch.no_grad():
        net[1].weight[0, 0] = float("nan")
    first = Check("finite", U, "a parameter is not finite: 1.weight", "1.weight")
    assert check_finite(net, nn.Linear(1, 1)) == [first]
    other = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with torch.no_grad():
        other[1].bias[0] = -float("inf")
        other[1].weight[0, 0] = float("inf")
    (both,) = check_finite(net, other)
    assert both.summary == "a parameter is not finite: 1.weight and 1 more"


@pytest.mark.parametrize("name", ["field", "float64"])
def test_grade_1_each_of_the_runs_may_be_the_one_that_tested(name: str):
    """GRADE-1"""
    assert verdict([Check(name, T, "")]) is T


@pytest.mark.parametrize("name", ["kept", "native"])
def test_grade_1_what_does_not_know_what_it_exercised_makes_nothing_tested(name: str):
    """GRADE-1"""
    assert verdict([Check(name, T, "")]) is U
    assert verdict([Check("float64", U, ""), Check(name, T, "")]) is U


IDLE = Check("float64", U, "the outputs never changed", figures={"inputs": 9.0})


@pytest.mark.parametrize(
    ("checks", "found"),
    [
        ([IDLE], IDLE),
        ([Check("certificate", U, ""), IDLE, Check("native", T, "")], IDLE),
        ([Check("certificate", P, ""), IDLE], None),
        ([Check("kept", R, ""), IDLE], None),
        ([Check("field", T, ""), IDLE], None),
        ([Check("field", U, "", figures={"differs": 1.0}), IDLE], None),
        ([Check("float64", U, "nothing could be compared", figures={"inputs": 0.0})], None),
        ([Check("float64", U, "not run")], None),
        ([Check("float64", R, "", figures={"inputs": 9.0})], None),
        ([Check("certificate", U, "")], None),
        ([Check("finite", U, ""), IDLE], None),
    ],
)
def test_nothing_was_exercised_if_that_is_all_that_is_wrong(
    checks: list[Check], found: Check | None
):
    assert unexercised(checks) is found
