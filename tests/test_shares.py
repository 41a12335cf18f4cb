"""Shares sum to 1, can be split exactly and make copies different."""

import itertools
from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

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
        assert sum(map(abs, shares)) <= Fraction(16, 9)
        assert equal or all((4 * len(shares)) ** 2 % share.denominator == 0 for share in shares)
    counts = Counter(axis_map.source).values()
    assert max(counts) - min(counts) <= 1
    assert axis_map.source[:size] == tuple(range(size))
    change = (Mapped(size, axis_map, "split"),)
    tensor = random_tensor((size,), "float32", seed)
    assert_exact(tensor, split(tensor, change)[0], axis_map)


@given(count=st.integers(2, 500), seed=st.integers(0, 99))
def test_share_3_all_copies_of_a_unit_are_apart(count, seed):
    """SHARE-3: from one another, and from 0"""
    shares = shared(1, [0] * count, seed=seed).share
    ordered = sorted(shares)
    assert min(b - a for a, b in itertools.pairwise(ordered)) >= Fraction(5, count**2)
    assert min(map(abs, shares)) >= Fraction(1, 2 * count**2)
    assert shares[0] == max(shares)


@pytest.mark.parametrize(("size", "width"), [(1, 5_000), (2, 800), (8, 5_000)])
def test_share_3_many_copies(size, width):
    """SHARE-3: at once; drawing until all of them differ would not end"""
    axis_map = widened(size, width, seed=0)
    assert len({*zip(axis_map.source, axis_map.share, strict=True)}) == width


def widened_net(copies: int, seed: int, dtype: torch.dtype) -> tuple[nn.Module, AxisMap, Any]:
    """A net whose four hidden units have become many, and what computes its loss."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)).to(dtype)
    axis_map = widened(4, 4 * copies, seed=seed)
    x, y = torch.randn(32, 5, dtype=dtype), torch.randn(32, 3, dtype=dtype)
    hidden = Mapped(4, axis_map)
    tensors = {
        "0.weight": (hidden, Mapped(5)),
        "0.bias": (hidden,),
        "2.weight": (Mapped(3), Mapped(4, axis_map, "split")),
    }
    for name, change in tensors.items():
        net.get_parameter(name).data = split(net.get_parameter(name).data, change)[0]
    return net, axis_map, lambda: (net(x) - y).square().mean()


def pairs(axis_map: AxisMap) -> list[tuple[int, int]]:
    every = itertools.combinations(range(len(axis_map.source)), 2)
    return [(a, b) for a, b in every if axis_map.source[a] == axis_map.source[b]]


@given(copies=st.integers(2, 9), seed=st.integers(0, 99))
def test_wider_3_the_first_step_of_sgd_parts_all_copies(copies, seed):
    """WIDER-3: the closest by five n^2-ths of what the unit would have moved by"""
    net, axis_map, loss = widened_net(copies, seed, torch.float64)
    loss().backward()
    moves = 0.05 * net[0].weight.grad
    torch.optim.SGD(net.parameters(), lr=0.05).step()
    for a, b in pairs(axis_map):
        whole = sum(
            m for m, u in zip(moves, axis_map.source, strict=True) if u == axis_map.source[a]
        )
        apart = (net[0].weight[a] - net[0].weight[b]).abs().max()
        assert apart >= 4.99 / copies**2 * whole.abs().max()


@given(copies=st.integers(2, 9), seed=st.integers(0, 99))
def test_wider_3_the_second_step_of_adam_parts_all_copies(copies, seed):
    """WIDER-3: in float32, and those whose shares differ in sign with the first step"""
    net, axis_map, loss = widened_net(copies, seed, torch.float32)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for step in (1, 2):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        rows, share = net[0].weight.detach(), axis_map.share
        for a, b in pairs(axis_map):
            if step == 2 or (share[a] > 0) != (share[b] > 0):
                assert not torch.equal(rows[a], rows[b])


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
