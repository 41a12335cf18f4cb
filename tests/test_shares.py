"""Shares sum to 1, can be split exactly and make copies different."""

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir.backend.splitting import split
from morphir.ir import FRESH, AxisMap, Mapped
from morphir.shares import shared, widened
from tests.backend.exact import assert_exact, random_tensor


def halves(shares):
    """The share that the first half of the copies has of the whole, at every halving."""
    if len(shares) > 1:
        half = (len(shares) + 1) // 2
        yield sum(shares[:half]) / sum(shares)
        yield from halves(shares[:half])
        yield from halves(shares[half:])


def by_unit(axis_map: AxisMap) -> dict[int, list[Fraction]]:
    found = {}
    for unit, share in zip(axis_map.source, axis_map.share, strict=True):
        found.setdefault(unit, []).append(share)
    return found


@given(
    size=st.integers(1, 9), more=st.integers(0, 60), seed=st.integers(0, 99), equal=st.booleans()
)
def test_share_1_and_2_sums_and_halvings(size, more, seed, equal):
    """SHARE-1, SHARE-2"""
    axis_map = widened(size, size + more, seed=seed, equal=equal)
    for shares in by_unit(axis_map).values():
        assert sum(shares) == 1
        assert all(-1 <= part <= 2 for part in halves(shares))
        assert all(abs(share) >= Fraction(1, 12 * len(shares)) for share in shares)
        assert equal or all(s.denominator & (s.denominator - 1) == 0 for s in shares)
    counts = Counter(axis_map.source).values()
    assert max(counts) - min(counts) <= 1
    assert axis_map.source[:size] == tuple(range(size))
    change = (Mapped(size, axis_map, "split"),)
    tensor = random_tensor((size,), "float32", seed)
    assert_exact(tensor, split(tensor, change)[0], axis_map)


@given(count=st.integers(2, 200), seed=st.integers(0, 99))
def test_share_3_all_copies_of_a_unit_differ(count, seed):
    """SHARE-3: and every halving down to a pair has a negative share in it"""
    shares = shared(1, [0] * count, seed=seed).share
    assert len({*shares}) == count

    def pairs(part):
        if len(part) == 2:
            yield part
        elif len(part) > 2:
            half = (len(part) + 1) // 2
            yield from (*pairs(part[:half]), *pairs(part[half:]))

    found = [*pairs(shares)]
    assert found
    assert all(first > 0 > second for first, second in found)


def test_share_3_units_differ_from_one_another():
    """SHARE-3"""
    axis_map = widened(64, 128, seed=0)
    assert len(set(axis_map.share)) > 20
    assert all(float(share) == share for share in axis_map.share)
    assert all(1.125 <= share <= 1.375 for share in axis_map.share[:64])


def test_draws_depend_on_seed_and_name_and_nothing_else():
    one = widened(16, 20, seed=0, name="a")
    assert one == widened(16, 20, seed=0, name="a")
    assert one != widened(16, 20, seed=1, name="a")
    assert one != widened(16, 20, seed=0, name="b")


def test_equal_and_fresh():
    assert widened(2, 6, seed=0, equal=True) == AxisMap.copies(2, [0, 1, 0, 1, 0, 1])
    assert shared(2, [0, 1, FRESH], seed=0).share == (1, 1, 0)
    assert widened(3, 3, seed=0).is_identity


def test_no_narrower():
    with pytest.raises(ValueError, match="an axis of 4 can't be widened to 3"):
        widened(4, 3, seed=0)
