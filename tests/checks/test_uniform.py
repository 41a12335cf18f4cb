"""Axes with equal units: which of their units may be taken for one another."""

import numpy as np
import pytest

from morphir.checks.rejection import Rejection
from morphir.checks.uniform import Uniform
from morphir.ir import AxisMap, Relation

# Two heads, each repeated for two queries and then for three.
REPEATED = Uniform.product([Uniform.identity(2), Uniform.constant(2, 3)])


def test_a_product_is_equal_where_its_factors_are():
    assert Uniform((0, 0, 1, 1), (0, 0, 0, 1, 1, 1)) == REPEATED
    tiled = Uniform.product([Uniform.constant(2, 3), Uniform.identity(2)])
    assert tiled == Uniform((0, 1, 0, 1), (0, 1, 0, 1, 0, 1))
    assert Uniform.product([Uniform.constant(3, 4)] * 2) == Uniform.constant(9, 16)


def test_the_terms_of_a_sum_are_not_equal():
    """Zeros beside ones vary."""
    both = Uniform.sum([Uniform.constant(2, 3), Uniform.constant(1, 1)])
    assert both == Uniform((0, 0, 1), (0, 0, 0, 1))
    assert not both.is_constant


def test_what_meets_is_equal_where_all_of_it_is():
    tiled = Uniform.product([Uniform.constant(2, 3), Uniform.identity(2)])
    assert Uniform.meeting([REPEATED, Uniform.constant(4, 6)]) == REPEATED
    assert Uniform.meeting([REPEATED, tiled]) == Uniform((0, 1, 2, 3), (0, 1, 0, 3, 2, 3))
    with pytest.raises(Rejection, match="sizes"):
        Uniform.meeting([REPEATED, Uniform.identity(4)])


def test_whether_one_tells_of_another():
    assert REPEATED.is_told_by(REPEATED)
    assert Uniform.constant(4, 6).is_told_by(REPEATED)
    assert not REPEATED.is_told_by(Uniform.constant(4, 6))


@pytest.mark.parametrize(
    ("source", "is_true"),
    [
        ((0, 1, 0, 2, 3, 3), True),
        ((1, 1, 0, 2, 2, 2), True),
        ((0, 1, 2, 2, 3, 3), False),
        ((0, 1, 0, 1, 3, 3), False),
        ((0, 1, 0, 2, 3, 0), False),
        ((0, 1, -1, 2, 3, 3), True),
    ],
)
def test_equal_units_are_taken_for_one_another_and_no_others(source, is_true: bool):
    relation = Relation.copied(AxisMap.copies(4, source))
    if is_true:
        assert REPEATED.like(relation) == relation
    else:
        with pytest.raises(Rejection, match="different units meet"):
            REPEATED.like(relation)


def test_each_unit_is_a_copy_of_the_first_of_its_kind():
    assert np.array_equal(REPEATED.relation.source, (0, 0, 0, 2, 2, 2))
    assert REPEATED.like(REPEATED.relation) == REPEATED.relation
