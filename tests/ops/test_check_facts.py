"""The checks of facts try signs, scales, distances from zero and the ends of intervals."""

import random
from dataclasses import replace

import pytest

from morphir.ops import DEFAULT_TABLE, Interval, Op
from morphir.ops.check_facts import check_bounds, check_identity, check_zero
from morphir.ops.verdict import ContractError


def check_all(op: Op) -> None:
    for sample in op.samples(random.Random(0)):
        check_bounds(op, sample)
        check_identity(op, sample)
        check_zero(op, sample)


def declared(name: str, **changes: object) -> Op:
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    return replace(op, **changes)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        # Only visible far from zero, close to it, and at an end of the interval.
        (declared("tanh", bounds=lambda a, of: of(a["input"])), "FACT-1"),
        (declared("exp", bounds=lambda a, of: Interval(low=1e-3)), "FACT-1"),
        (declared("relu6", identity_on=lambda _: Interval(0.0, 6.01)), "FACT-2"),
        (declared("cos", keeps_zero=True), "FACT-3"),
    ],
)
def test_a_claim_that_is_wrong_in_one_place_is_caught(wrong, message):
    with pytest.raises(ContractError, match=message):
        check_all(wrong)


def test_claims_that_are_not_made_are_not_checked():
    nothing = declared("sigmoid", bounds=None)
    check_all(nothing)
    assert nothing.bounds is None
