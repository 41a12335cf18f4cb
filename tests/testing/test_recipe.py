"""Recipes and steps: what can be said, and what is refused."""

from typing import get_args

import pytest

from morphir import RefusalError
from morphir.testing import Recipe, Step
from morphir.testing.recipe import EVERY_OP, OPS, Inputs


def test_an_op_that_does_not_exist_is_refused():
    with pytest.raises(RefusalError, match="a step has the op 'lineer', expected one of linear"):
        Step("lineer")


@pytest.mark.parametrize("option", ["inputs", "weights", "dtype"])
def test_a_value_that_does_not_exist_is_refused(option: str):
    with pytest.raises(RefusalError, match=f"{option}='no such', expected one of"):
        Recipe(**{option: "no such"})


def test_every_kind_of_input_has_its_ops_the_simplest_first():
    assert {*OPS} == {*get_args(Inputs)}
    assert {ops[:2] for ops in OPS.values()} == {("linear", "relu")}
    assert {op for ops in OPS.values() for op in ops} == {*EVERY_OP}


def test_entry_points():
    assert Recipe().entry_points == ("forward",)
    assert Recipe(value=True).entry_points == ("forward", "value")
