"""Splits are exact and can be undone, whatever the shares, dtypes and axes."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.backend.splitting import merge, merged, split
from morphir.errors import RefusalError
from morphir.ir import FRESH, Added, AxisMap, Mapped, Multiplied
from tests.backend.exact import DTYPES, assert_exact, peak_of, random_tensor, same_bits


@st.composite
def axis_maps(draw, size: int) -> AxisMap:
    """Any sources, removed and fresh units among them, with any shares that can be split."""
    source = draw(st.lists(st.integers(FRESH, size - 1), min_size=1, max_size=3 * size))
    share = [Fraction(0)] * len(source)

    def halve(positions, whole):
        if len(positions) == 1:
            share[positions[0]] = whole
            return
        half = (len(positions) + 1) // 2
        part = draw(st.fractions(-1, 2, max_denominator=50).filter(lambda f: f not in (0, 1)))
        halve(positions[:half], whole * part)
        halve(positions[half:], whole * (1 - part))

    for unit in {*source} - {FRESH}:
        halve([p for p, s in enumerate(source) if s == unit], Fraction(1))
    return AxisMap(size, tuple(source), tuple(share))


@st.composite
def changes(draw, depth: int = 2):
    kind = draw(st.sampled_from(["map"] if not depth else ["map", "map", "product", "sum"]))
    if kind != "map":
        parts = draw(st.lists(changes(depth - 1), min_size=2, max_size=2))
        return (Multiplied if kind == "product" else Added)(tuple(parts))
    size = draw(st.integers(1, 4))
    axis_map = draw(st.none() | axis_maps(size))
    return Mapped(size, axis_map, draw(st.sampled_from(["copy", "split"])))


tensor_changes = st.lists(changes(), min_size=1, max_size=2).map(tuple)
seeds = st.integers(0, 2**20)


@given(st.integers(1, 6).flatmap(axis_maps), st.sampled_from(DTYPES), seeds)
def test_back_8_the_parts_sum_to_the_old_number(axis_map, dtype, seed):
    """BACK-8: as rationals, in every dtype, subnormals and the largest numbers included"""
    old = random_tensor((axis_map.size, 5), dtype, seed)
    new, _ = split(old, (Mapped(axis_map.size, axis_map, "split"), Mapped(5)))
    assert new.dtype == old.dtype
    assert_exact(old, new, axis_map)


@given(tensor_changes, st.sampled_from(DTYPES), seeds)
def test_back_8_relations_of_all_axes_hold(change, dtype, seed):
    """BACK-8: parts by the relation, axis by axis, in whatever way atoms are nested"""
    old = random_tensor(tuple(c.size for c in change), dtype, seed)
    new, _ = split(old, change)
    assert new.shape == tuple(c.new_size for c in change)
    sums, expected = fractions(new), fractions(old)
    for axis, each in enumerate(change):
        relation = each.relation
        positions, units = np.moveaxis(sums, axis, 0), np.moveaxis(expected, axis, 0)
        assert (positions[relation.take < 0] == 0).all()
        taken = [*dict.fromkeys(relation.take[relation.take >= 0].tolist())]
        totals = {}
        for part in taken:
            first, *others = positions[relation.take == part]
            assert all(np.all(first == other) for other in others)
            unit = int(relation.group[part])
            totals[unit] = totals.get(unit, 0) + first
        shape = (len(totals), *positions.shape[1:])
        sums = np.moveaxis(np.array([*totals.values()], object).reshape(shape), 0, axis)
        expected = np.moveaxis(units[[*totals]], 0, axis)
    assert (sums == expected).all()


def fractions(tensor: torch.Tensor) -> np.ndarray:
    flat = np.array([Fraction(x) for x in tensor.flatten().tolist()], object)
    return flat.reshape(tuple(tensor.shape))


@given(tensor_changes, st.sampled_from(DTYPES), seeds)
def test_back_9_merging_gives_the_old_numbers_to_the_bit(change, dtype, seed):
    """BACK-9"""
    old = random_tensor(tuple(c.size for c in change), dtype, seed)
    kept = old.clone()
    new, lost = split(old, change)
    before = new.clone()
    assert same_bits(merge(new, change, lost), kept)
    assert same_bits(old, kept)
    assert same_bits(new, before)


@given(st.integers(1, 6).flatmap(axis_maps), seeds)
def test_the_shares_are_those_of_the_map(axis_map, seed):
    """A part differs from share times number by the rounding of the sums that it comes from."""
    old = torch.randn(axis_map.size, 4, generator=torch.Generator().manual_seed(seed)).double()
    new, _ = split(old, (Mapped(axis_map.size, axis_map, "split"), Mapped(4)))
    for position, (unit, share) in enumerate(zip(axis_map.source, axis_map.share, strict=True)):
        if unit != FRESH:
            error = (new[position] - float(share) * old[unit]).abs().max()
            assert error <= 2e-14 * max(1, *map(abs, axis_map.share)) * old[unit].abs().max()


def pair(first: str, second: str) -> tuple[Mapped]:
    return (Mapped(1, AxisMap(1, (0, 0), (Fraction(first), Fraction(second))), "split"),)


@pytest.mark.parametrize("number", [torch.inf, -torch.inf])
@pytest.mark.parametrize("shares", [("1/2", "1/2"), ("5/4", "-1/4"), ("-1/4", "5/4")])
def test_an_infinity_goes_to_one_copy(shares, number):
    old = torch.tensor([number])
    new, _ = split(old, pair(*shares))
    assert sorted(new.abs().tolist()) == [0.0, torch.inf]
    assert same_bits(merge(new, pair(*shares)), old)


def test_what_is_no_number_stays_so():
    new, _ = split(torch.tensor([torch.nan]), pair("5/4", "-1/4"))
    assert merge(new, pair("5/4", "-1/4")).isnan().all()


@pytest.mark.parametrize(("dtype", "largest"), [("float16", 65504.0), ("float32", 3.4e38)])
def test_back_8_a_share_that_overflows_is_not_realised(dtype, largest):
    """BACK-8"""
    old = torch.tensor([largest], dtype=getattr(torch, dtype))
    new, _ = split(old, pair("5/4", "-1/4"))
    assert new.tolist() == [old.item(), 0.0]


@pytest.mark.parametrize("shares", [("3", "-2"), ("-2", "3")])
def test_shares_without_an_exact_split_are_refused(shares):
    """3 and -2 times 1 + 2**-23 are both even multiples of the unit in the last place."""
    with pytest.raises(RefusalError, match=r"have no exact split(.|\n)*try: shares such as"):
        split(torch.ones(1), pair(*shares))


def test_copies_whose_half_has_no_share_are_refused():
    axis_map = AxisMap(1, (0, 0, 0), (Fraction(1), Fraction(-1), Fraction(1)))
    with pytest.raises(RefusalError, match="the first 1 of these copies would carry 1 of 0"):
        split(torch.ones(1), (Mapped(1, axis_map, "split"),))


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_other_dtypes_are_copied_and_removed_but_not_split(dtype):
    old = torch.tensor([1, 0, 1]).to(dtype)
    axis_map = AxisMap.copies(3, [2, 2, 0, FRESH])
    new, lost = split(old, (Mapped(3, axis_map, "copy"),))
    assert new.double().tolist() == [1, 1, 1, 0] if dtype != torch.complex64 else len(new) == 4
    assert torch.equal(merge(new, (Mapped(3, axis_map),), lost).real, old.real)
    with pytest.raises(RefusalError, match=f"numbers of {dtype} have no exact split"):
        split(old, (Mapped(3, axis_map, "split"),))
    pruned = (Mapped(3, AxisMap.copies(3, [2, FRESH]), "split"),)
    assert split(old, pruned)[0].shape == (2,)


def test_no_arithmetic_in_eight_bits():
    with pytest.raises(RefusalError, match="float8_e5m2 have no exact split"):
        split(torch.ones(2).to(torch.float8_e5m2), (Mapped(2, AxisMap.copies(2, [0, 1, 1])),))


def test_an_axis_without_units():
    change = (Mapped(0, AxisMap(0, (FRESH,), (Fraction(0),))), Mapped(2))
    assert split(torch.zeros(0, 2), change)[0].tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("make", ["meta", "channels_last", "transposed", "expanded"])
def test_layouts_of_memory(make):
    axis_map = AxisMap.copies(4, [0, 1, 2, 3, 1])
    if make == "channels_last":
        old = torch.randn(4, 4, 3, 3).to(memory_format=torch.channels_last)
    elif make == "transposed":
        old = torch.randn(5, 4).t()
    else:
        old = torch.randn(4, 1).expand(4, 5) if make == "expanded" else torch.ones(4, 5).to("meta")
    change = (Mapped(4, axis_map, "split"), *map(Mapped, old.shape[1:]))
    new, lost = split(old, change)
    assert new.shape[0] == 5
    if make == "channels_last":
        assert new.is_contiguous(memory_format=torch.channels_last)
    if make != "meta":
        back = merge(new, change, lost)
        assert torch.equal(back, old)
        assert make == "expanded" or back.stride() == old.stride()


def test_memory_beside_the_result_is_that_of_the_split_rows():
    """Copying an axis of which a few units are split allocates one tensor of the new size."""
    size, extra = 1000, 50
    axis_map = AxisMap.copies(size, [*range(size), *range(extra)])
    old = torch.zeros(size, 1000)
    peak = peak_of(lambda: split(old, (Mapped(size, axis_map, "split"), Mapped(1000))))
    assert old.nbytes <= peak <= 1.5 * old.nbytes


@given(st.integers(1, 4).flatmap(axis_maps), st.sampled_from(DTYPES), seeds)
def test_back_15_the_exact_sum_of_parts_is_the_old_number(axis_map, dtype, seed):
    """BACK-15: for the sources in any order, and where parts were split again"""
    gone = {*range(axis_map.size)} - {*axis_map.source}
    dtype = getattr(torch, dtype)
    old = torch.randn(axis_map.size, 3, generator=torch.Generator().manual_seed(seed))
    old = old.to(dtype)
    change = (Mapped(axis_map.size, axis_map, "split"), Mapped(3))
    new, _ = split(old, change)
    again = AxisMap.copies(len(new), [*range(len(new)), *range(len(new))])
    parts, _ = split(new, (Mapped(len(new), again, "split"), Mapped(3)))
    source = [*axis_map.source, *axis_map.source]
    if not gone:
        both = (Mapped(axis_map.size, AxisMap.copies(axis_map.size, source), "split"), Mapped(3))
        assert torch.equal(merged(parts, both).to(dtype), old)


def test_back_15_signs_of_zeros_and_copies():
    """BACK-15"""
    axis_map = AxisMap.copies(2, [0, 1, 0])
    parts = torch.tensor([-0.0, 1.0, -0.0])
    found = merged(parts, (Mapped(2, axis_map, "split"),))
    assert found.dtype == torch.float64
    assert found.tolist() == [0.0, 1.0]
    assert found.signbit().tolist() == [True, False]
    assert merged(torch.tensor([3.0, 1.0, 3.0]), (Mapped(2, axis_map, "copy"),)).tolist() == [3, 1]
    infinite = torch.tensor([torch.inf, 1.0, 0.0])
    assert merged(infinite, (Mapped(2, axis_map, "split"),)).tolist() == [torch.inf, 1.0]
    fresh = AxisMap.copies(2, [0, FRESH, 1])
    assert merged(torch.tensor([3.0, 9.0, 4.0]), (Mapped(2, fresh, "split"),)).tolist() == [3, 4]
