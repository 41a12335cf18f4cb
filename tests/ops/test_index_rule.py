"""Indexing: slices and picks are parts of a sum, index tensors replace an axis."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.ops.index_rule import setitem
from tests.ops.layouts import check_layout_of, forms_of, roles_of, rules_of, zeros

BOUNDS = st.none() | st.integers(-7, 7)
SLICES = st.builds(slice, BOUNDS, BOUNDS, st.sampled_from([None, None, 1, 2]))
TENSORS = st.sampled_from(
    [
        torch.tensor([0, 2, 2]),
        torch.tensor([[1], [3]]),
        torch.tensor(2),
        torch.tensor([True, False, True, True]),
    ]
)
ROWS = torch.tensor([[0], [1]])
ENTRIES = st.one_of(SLICES, SLICES, st.integers(-4, 3), TENSORS)


@st.composite
def indices(draw):
    """An index into three axes: entries for some of them, new axes, and perhaps `...`."""
    entries = draw(st.lists(ENTRIES, max_size=3))
    for _ in range(draw(st.integers(0, 2))):
        entries.insert(draw(st.integers(0, len(entries))), None)
    if draw(st.booleans()):
        entries.insert(draw(st.integers(0, len(entries))), ...)
    return entries[0] if len(entries) == 1 and draw(st.booleans()) else tuple(entries)


@given(indices())
def test_axis_4_any_index_commutes_with_what_its_layout_admits(index):
    """AXIS-4."""
    x = torch.arange(4.0**3, dtype=torch.float64).reshape(4, 4, 4)
    check_layout_of("getitem", input=x, index=index)


def test_a_slice_keeps_one_part_and_leaves_the_others_free():
    """The bounds follow the parts: an axis may grow before, inside or after the slice."""
    index = (..., slice(1, 4))
    assert forms_of("getitem", input=zeros(2, 6), index=index) == (
        "[kept:2, (before:1 + kept:3 + after:2)] -> [kept:2, kept:3]"
    )
    assert rules_of("getitem", input=zeros(6), index=slice(1, 4)) == [
        "index.start = before:1",
        "index.stop = (before:1 + kept:3)",
    ]


def test_bounds_from_the_end_count_what_follows():
    assert rules_of("getitem", input=zeros(6), index=slice(-4, -1)) == [
        "index.start = -(kept:3 + after:1)",
        "index.stop = -after:1",
    ]


def test_a_picked_unit_is_a_fixed_part_between_two_free_ones():
    assert forms_of("getitem", input=zeros(2, 5), index=(slice(None), 2)) == (
        "[kept:2, (before:2 + Picked:1 + after:2)] -> [kept:2]"
    )
    assert rules_of("getitem", input=zeros(5), index=-2) == ["index = -(Picked:1 + after:1)"]
    assert rules_of("getitem", input=zeros(5), index=-1) == []


def test_a_tensor_of_indices_replaces_its_axis():
    index = (slice(None), torch.tensor([[0, 1, 1]]))
    assert forms_of("getitem", input=zeros(2, 5), index=index) == (
        "[kept:2, Indexed:5], [d0:1, d1:3] -> [kept:2, d0:1, d1:3]"
    )


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ((ROWS, ROWS), "[Indexed:4, Indexed:5, kept:6] -> [d0:2, d1:1, kept:6]"),
        ((slice(None), ROWS, ROWS), "[kept:4, Indexed:5, Indexed:6] -> [kept:4, d0:2, d1:1]"),
        ((ROWS, slice(None), ROWS), "[Indexed:4, kept:5, Indexed:6] -> [d0:2, d1:1, kept:5]"),
    ],
)
def test_tensors_of_indices_broadcast_in_one_place(index, expected):
    """In front of everything where other axes lie between them."""
    found = forms_of("getitem", input=zeros(4, 5, 6), index=index)
    assert found.replace(", [d0:2, d1:1]", "") == expected


def test_a_mask_picks_as_many_units_as_it_likes_and_leaves_the_other_axes():
    mask = torch.tensor([[True, False]] * 3)
    assert forms_of("getitem", input=zeros(3, 2, 5), index=mask) == (
        "[Indexed:3, Indexed:2, kept:5], [d0:3, d1:2] -> [d0:3, kept:5]"
    )
    roles = roles_of("getitem", input=zeros(3, 2, 5), index=mask)
    assert {name for name, kind in roles.items() if kind != "fixed"} == {"kept"}


def test_a_list_of_indices_is_fixed_as_a_mask_would_have_the_same_shape():
    roles = roles_of("getitem", input=zeros(2, 6), index=torch.tensor([0, 0]))
    assert roles == {"Indexed": "fixed", "d0": "fixed", "kept": "lin"}


def test_a_slice_with_steps_fixes_its_axis_only():
    """As patch merging takes every second pixel of all channels."""
    roles = roles_of("getitem", input=zeros(2, 6, 3), index=(slice(None), slice(0, None, 2)))
    assert roles == {"kept": "lin", "Strided": "fixed", "Kept": "fixed"}


def test_what_is_set_is_a_part_of_the_whole():
    index = (slice(None), slice(1, 3))
    assert forms_of("setitem", input=zeros(2, 6), index=index, value=zeros(2, 2)) == (
        "[kept:2, (before:1 + kept:2 + after:3)], [kept:2, kept:2]"
        " -> [kept:2, (before:1 + kept:2 + after:3)]"
    )


def test_setting_by_a_tensor_of_indices_is_fixed():
    """Where it names a unit twice, the order decides which value stays."""
    index = (slice(None), torch.tensor([1, 1]))
    roles = roles_of("setitem", input=zeros(2, 6), index=index, value=zeros(2, 2))
    assert set(roles.values()) == {"fixed"}


@given(indices(), st.booleans())
def test_axis_4_setting_by_any_index(index, is_tensor):
    """AXIS-4."""
    x = torch.arange(4.0**3, dtype=torch.float64).reshape(4, 4, 4)
    check_layout_of("setitem", input=x, index=index, value=-x[index] if is_tensor else 7.0)


def test_new_axes_are_fixed():
    assert roles_of("getitem", input=zeros(3), index=(None, ...)) == {"kept": "lin", "New": "fixed"}


def test_what_has_no_rule_is_fixed():
    x = zeros(4, 6)
    for index in (slice(None, None, 2), x > 0, True, [0, 1], slice(None, 9)):
        kinds = set(roles_of("getitem", input=x, index=index).values())
        assert "fixed" in kinds
        assert kinds <= {"fixed", "lin"}


def test_setting_by_index_changes_a_copy():
    x = zeros(3)
    assert setitem(x, 1, 5.0).tolist() == [0.0, 5.0, 0.0]
    assert x.tolist() == [0.0, 0.0, 0.0]
