"""What is derived from the changes of a tensor's axes, and their form as plain data."""

import json
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir.ir import (
    FRESH,
    Added,
    AxisMap,
    Extension,
    Mapped,
    Multiplied,
    Relation,
    maps_in,
)
from morphir.ir.change import tensors_from_json, tensors_to_json
from tests.ir.changes import axes

HALF = AxisMap(2, (0, 1, 1, FRESH), (Fraction(1), Fraction(3, 4), Fraction(1, 4), Fraction(0)))


@given(axes())
def test_sizes_shares_and_relation_are_those_of_one_axis(axis):
    assert axis.relation.size == axis.size
    assert axis.relation.new_size == axis.new_size
    for polarity in ("copy", "split"):
        assert axis.shares(polarity).shape == (axis.new_size,)


@given(axes())
def test_axis_1_the_shares_of_a_unit_sum_to_1(axis):
    """AXIS-1 for whole axes: over the positions that take a part of it, copies and splits."""
    shares = axis.shares("copy") * axis.shares("split")
    source = axis.relation.source
    totals = np.bincount(source[source >= 0], shares[source >= 0], minlength=axis.size)
    assert np.allclose(totals[np.unique(source[source >= 0])], 1, rtol=0, atol=1e-12)


def test_shares_of_a_nested_axis_are_read_off_in_order():
    axis = Added((Multiplied((Mapped(2, HALF, "copy"), Mapped(2))), Mapped(2, HALF, "split")))
    assert [*axis.shares("copy")] == [1, 1, 0.75, 0.75, 0.25, 0.25, 0, 0, 1, 1, 1, 1]
    assert [*axis.shares("split")] == [1] * 8 + [1, 0.75, 0.25, 0]
    assert [*maps_in(axis)] == [HALF, HALF]


@given(st.dictionaries(st.text(max_size=3), st.lists(axes(), max_size=3).map(tuple), max_size=3))
def test_changes_are_read_back_as_they_were_written(tensors):
    data = json.loads(json.dumps(tensors_to_json(tensors)))
    assert tensors_from_json(data) == tensors


def test_a_map_is_written_once():
    both = (Mapped(2, HALF, "copy"), Mapped(2, HALF, "split"))
    assert len(tensors_to_json({"a": both, "b": both})["maps"]) == 1


@pytest.mark.parametrize("axis", [{"turn": 0}, {"copy": 3}, {"copy": 0, "split": 0}, "x"])
def test_what_was_not_written_by_us_is_an_error(axis):
    data = {**tensors_to_json({"a": (Mapped(2, HALF),)}), "tensors": {"a": [axis]}}
    with pytest.raises((ValueError, LookupError)):
        tensors_from_json(data)


def test_an_extension_leaves_the_old_positions_first():
    relation = Extension("forward", "x", 1, 3, 5).relation
    assert relation == Relation.copied(AxisMap.copies(3, (0, 1, 2, FRESH, FRESH)))
    assert relation.is_copied
