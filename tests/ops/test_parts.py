"""cat, split, slices and padding add."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.layouts import check_layout_of, forms_of, layout_of, roles_of, rules_of, zeros


@given(st.data())
def test_axis_4_any_partition_commutes_with_what_its_layout_admits(data):
    """AXIS-4."""
    n, dim = data.draw(st.integers(1, 8)), data.draw(st.sampled_from([0, 1, -1]))
    x = torch.arange(2.0 * n, dtype=torch.float64).reshape((2, n) if dim else (n, 2))
    check_layout_of("split", input=x, split_size=data.draw(st.integers(1, n + 1)), dim=dim)
    check_layout_of("chunk", input=x, chunks=data.draw(st.integers(1, n + 2)), dim=dim)
    check_layout_of("tensor_split", input=x, indices=data.draw(st.integers(1, n + 1)), dim=dim)
    ends = tuple(data.draw(st.lists(st.integers(0, n + 1), max_size=3)))
    check_layout_of("tensor_split", input=x, indices=ends, dim=dim)
    start = data.draw(st.integers(0, n - 1))
    length = data.draw(st.integers(0, n - start))
    check_layout_of("narrow", input=x, dim=dim, start=start, length=length)
    check_layout_of("select", input=x, dim=dim, index=data.draw(st.integers(-n, n - 1)))
    pads = tuple(data.draw(st.lists(st.integers(0, 2), min_size=2, max_size=2)))
    check_layout_of("pad", input=x, pad=pads, value=data.draw(st.sampled_from([None, 0.0, 1.0])))


def test_cat_is_a_sum_of_its_parts():
    assert forms_of("cat", tensors=(zeros(2, 3), zeros(2, 4)), dim=1) == (
        "[d0:2, part0:3], [d0:2, part1:4] -> [d0:2, (part0:3 + part1:4)]"
    )


def test_an_empty_vector_joins_without_a_trace():
    """What a cache holds before its first use."""
    assert forms_of("cat", tensors=(zeros(0), zeros(2, 3)), dim=-1) == (
        "[Empty:0], [d0:2, part1:3] -> [d0:2, part1:3]"
    )


def test_what_is_unbound_or_stacked_is_a_sum_of_units():
    """So that parts of a fused projection meet where they were cut."""
    assert forms_of("unbind", input=zeros(2, 3)) == (
        "[(Unit0:1 + Unit1:1), d1:3] -> [d1:3], [d1:3]"
    )
    assert forms_of("stack", tensors=(zeros(3), zeros(3)), dim=1) == (
        "[d0:3], [d0:3] -> [d0:3, (Unit0:1 + Unit1:1)]"
    )
    assert roles_of("unbind", input=zeros(2, 3)) == {
        "Unit0": "fixed",
        "Unit1": "fixed",
        "d1": "lin",
    }


def test_split_by_sizes_ties_each_number_to_its_part():
    assert rules_of("split", input=zeros(2, 6), split_size=(2, 4), dim=1) == [
        "split_size[0] = part0:2",
        "split_size[1] = part1:4",
    ]


def test_equal_parts_stay_equal():
    assert rules_of("chunk", input=zeros(6), chunks=2) == ["|part0:3| = |part1:3|"]
    assert rules_of("split", input=zeros(6), split_size=3) == [
        "split_size = part0:3",
        "|part0:3| = |part1:3|",
    ]


@pytest.mark.parametrize(("name", "more"), [("chunk", {"chunks": 2}), ("split", {"split_size": 3})])
def test_unequal_parts_that_no_argument_lists_are_fixed(name, more):
    roles = roles_of(name, input=zeros(5), **more)
    assert set(roles.values()) == {"fixed"}


def test_tensor_split_ties_the_ends():
    assert rules_of("tensor_split", input=zeros(6), indices=(1, 3)) == [
        "indices[0] = part0:1",
        "indices[1] = (part0:1 + part1:2)",
    ]


def test_narrow_ties_start_and_length():
    assert rules_of("narrow", input=zeros(6), dim=0, start=1, length=3) == [
        "start = before:1",
        "length = kept:3",
    ]


def test_padding_by_a_constant_adds_fixed_parts():
    layout = layout_of("pad", input=zeros(2, 3), pad=(1, 2))
    assert str(layout).partition(" | ")[0] == "[d0:2, d1:3] -> [d0:2, (Low:1 + d1:3 + High:2)]"
    kinds = {atom.name: role.kind for atom, role in layout.roles.items()}
    assert kinds == {"d0": "lin", "d1": "lin", "Low": "fixed", "High": "fixed"}


def test_padding_by_another_number_stops_splits():
    assert roles_of("pad", input=zeros(3), pad=(1, 0), value=1.0)["d0"] == "map"


def test_padding_by_reflection_fixes_the_axis():
    assert roles_of("pad", input=zeros(2, 3, 4), pad=(1, 1), mode="reflect") == {
        "d0": "lin",
        "d1": "lin",
        "d2": "fixed",
        "Padded": "fixed",
    }
