"""AXIS-1 to AXIS-3: what an axis map is, and what it does to a tensor."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given

from morphir.ir.axis_map import FRESH, AxisMap
from tests.ir.changes import maps


@pytest.mark.parametrize(
    "share",
    [
        (Fraction(1), Fraction(1)),
        (Fraction(1, 2), Fraction(1, 4)),
        (Fraction(1), Fraction(0, 1) + 1),
    ],
)
def test_axis_1_shares_that_do_not_sum_to_one_are_refused(share):
    """AXIS-1."""
    with pytest.raises(ValueError, match="AXIS-1"):
        AxisMap(1, (0, 0), share)


def test_axis_1_is_exact():
    """AXIS-1: thirds sum to 1, which they do not in floating point."""
    third = Fraction(1, 3)
    assert AxisMap(1, (0, 0, 0), (third, third, third)) == AxisMap.copies(1, (0, 0, 0))


@pytest.mark.parametrize(
    ("source", "share", "message"),
    [
        ((0, 1), (Fraction(1),), "2 sources but 1 shares"),
        ((2,), (Fraction(1),), "source 2 is outside an axis of size 2"),
        ((-2,), (Fraction(1),), "source -2 is outside"),
        ((FRESH,), (Fraction(1),), "fresh position has share 1"),
    ],
)
def test_what_is_no_map_is_refused(source, share, message):
    with pytest.raises(ValueError, match=message):
        AxisMap(2, source, share)


@given(maps())
def test_axis_2_a_copy_is_read_through_its_source(axis_map: AxisMap):
    """AXIS-2, along a middle axis; fresh positions are 0."""
    old = torch.randn(2, axis_map.size, 3, dtype=torch.float64)
    new = axis_map.apply(old, 1, "copy")
    for j, i in enumerate(axis_map.source):
        assert torch.equal(new[:, j], torch.zeros(2, 3) if i == FRESH else old[:, i])


@given(maps(onto=True))
def test_axis_3_the_parts_of_a_split_sum_to_the_whole(axis_map: AxisMap):
    """AXIS-3; eighths of small integers are exact."""
    old = torch.randint(-9, 9, (axis_map.size, 3)).double()
    new = axis_map.apply(old, 0, "split")
    for i in range(axis_map.size):
        places = [j for j, source in enumerate(axis_map.source) if source == i]
        assert torch.equal(new[places].sum(0), old[i])


@given(maps(onto=True))
def test_a_contraction_of_a_copy_with_a_split_is_unchanged(axis_map: AxisMap):
    """What AXIS-2 and AXIS-3 are for."""
    x = torch.randint(-9, 9, (axis_map.size,)).double()
    w = torch.randint(-9, 9, (axis_map.size,)).double()
    assert axis_map.apply(x, 0, "copy") @ axis_map.apply(w, 0, "split") == x @ w


def test_the_identity_changes_nothing():
    identity = AxisMap.identity(3)
    assert identity.is_identity
    assert not AxisMap.copies(3, (0, 1, 2, 2)).is_identity
    x = torch.randn(3)
    assert torch.equal(identity.apply(x, 0, "split"), x)


def test_copies_share_equally():
    assert AxisMap.copies(2, (0, 1, 0, FRESH)).share == (
        Fraction(1, 2),
        Fraction(1),
        Fraction(1, 2),
        Fraction(0),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_the_dtype_is_kept(dtype):
    assert (
        AxisMap.copies(2, (1, FRESH, 1)).apply(torch.ones(2, dtype=dtype), 0, "copy").dtype == dtype
    )


def test_growth_is_what_shares_add_up_to_in_size_times_the_root_of_their_number():
    assert AxisMap.copies(2, (0, 1, 1, 1, 1)).growth == 2
    parts = (Fraction(1), Fraction(5, 4), Fraction(-1, 4))
    assert AxisMap(2, (0, 1, 1), parts).growth == pytest.approx(1.5 * 2**0.5)
    assert AxisMap.identity(3).growth == 1
    assert AxisMap.copies(2, (FRESH, FRESH)).growth == AxisMap.copies(2, ()).growth == 1
