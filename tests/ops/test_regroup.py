"""Views factorise axes; permutations reorder them; expansion is uniform."""

from itertools import pairwise
from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.ops.regroup import regroup
from tests.ops.layouts import check_layout_of, forms_of, roles_of, rules_of, zeros


def numbers(shape) -> torch.Tensor:
    return torch.arange(prod(shape), dtype=torch.float64).reshape(shape)


@st.composite
def views(draw):
    """A shape and another of the same number of elements."""
    factors = draw(st.lists(st.sampled_from([1, 2, 2, 3]), min_size=1, max_size=5))
    shapes = []
    for _ in range(2):
        order = draw(st.permutations(factors)) if draw(st.booleans()) else factors
        cuts = sorted(draw(st.sets(st.integers(0, len(factors)), max_size=4)) | {0, len(factors)})
        ends = pairwise(cuts)
        shapes.append(tuple(prod(order[low:high]) for low, high in ends))
    return shapes


@given(views())
def test_axis_4_any_view_commutes_with_what_its_layout_admits(shapes):
    """AXIS-4 for AXIS-10."""
    old, new = shapes
    check_layout_of("reshape", input=numbers(old), shape=new)
    for axis in range(len(new)):
        free = (*new[:axis], -1, *new[axis + 1 :])
        check_layout_of("reshape", input=numbers(old), shape=free)
    check_layout_of("reshape_as", input=numbers(old), other=numbers(new))
    check_layout_of("unflatten", input=numbers((2, prod(old), 1)), dim=-2, sizes=new)


@pytest.mark.parametrize(
    ("shape", "new", "expected"),
    [
        # Heads and back.
        ((2, 12), (2, 3, 4), "[d0:2, (f12:3 f4:4)] -> [d0:2, f12:3, f4:4]"),
        ((2, 3, 4), (2, 12), "[d0:2, f12:3, f4:4] -> [d0:2, (f12:3 f4:4)]"),
        # Boundaries on both sides.
        ((4, 6), (2, 12), "[(f24:2 f12:2), f6:6] -> [f24:2, (f12:2 f6:6)]"),
        # No common factors: 3 * 5 against 5 * 3.
        ((3, 5), (5, 3), "[Regrouped:3, Regrouped:5] -> [Regrouped:5, Regrouped:3]"),
        # What stays is left alone, also beside what does not.
        (
            (7, 3, 5, 2),
            (7, 5, 3, 2),
            "[d0:7, Regrouped:3, Regrouped:5, d3:2] -> [d0:7, Regrouped:5, Regrouped:3, d3:2]",
        ),
        # Axes of size 1 that come and go.
        ((3, 1), (3,), "[d0:3, One:1] -> [d0:3]"),
        ((3,), (1, 3), "[f3:3] -> [One:1, f3:3]"),
    ],
)
def test_axis_10_a_view_factorises_runs_of_equal_product(shape, new, expected):
    """AXIS-10."""
    assert forms_of("reshape", input=zeros(*shape), shape=new) == expected


def test_axis_10_what_has_no_common_factors_is_fixed():
    """AXIS-10."""
    assert set(roles_of("reshape", input=zeros(3, 5), shape=(5, 3)).values()) == {"fixed"}


def test_regroup_keeps_sizes():
    before, after = regroup((4, 6, 5), (8, 15))
    assert [form.size for form in before] == [4, 6, 5]
    assert [form.size for form in after] == [8, 15]


def test_numbers_in_a_view_follow_their_axes_but_for_minus_one():
    assert rules_of("reshape", input=zeros(2, 12), shape=(2, -1, 4)) == [
        "shape[0] = d0:2",
        "shape[2] = f4:4",
    ]


def test_a_squeeze_keeps_axes_from_shrinking_to_one():
    assert roles_of("squeeze", input=zeros(3, 1)) == {"d0": "lin", "d1": "fixed"}


def test_what_a_flatten_or_squeeze_does_not_name_stays_what_it_is():
    """Axes of size 1 look alike, but only those that are named go."""
    assert forms_of("flatten", input=zeros(1, 1, 2, 3), start_dim=2) == (
        "[d0:1, d1:1, f6:2, f3:3] -> [d0:1, d1:1, (f6:2 f3:3)]"
    )
    assert forms_of("squeeze", input=zeros(1, 1, 3), dim=0) == "[d0:1, d1:1, d2:3] -> [d1:1, d2:3]"
    assert forms_of("unsqueeze", input=zeros(1, 3), dim=0) == "[d0:1, d1:3] -> [New:1, d0:1, d1:3]"
    assert forms_of("unflatten", input=zeros(1, 6), dim=1, sizes=(1, 6)) == (
        "[d0:1, f6:6] -> [d0:1, One:1, f6:6]"
    )
