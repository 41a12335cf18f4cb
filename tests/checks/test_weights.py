"""CERT-10: tensors that are related to old ones, and single numbers that make them unrelated."""

from fractions import Fraction
from typing import Any, final

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from morphir.checks.weights import unrelated
from morphir.ir import FREE, FRESH, ZERO, AxisMap, Mapped, Multiplied, Relation
from tests.checks.resized import mapped
from tests.ir.changes import axes

HALF = AxisMap(2, (0, 1, 1, FRESH), (Fraction(1), Fraction(5, 4), Fraction(-1, 4), Fraction(0)))
COPY, SPLIT = Mapped(2, HALF, "copy"), Mapped(2, HALF, "split")


APART = [Relation.split(AxisMap.copies(1, (0, 0)))]


def related(old: torch.Tensor, new: torch.Tensor, change) -> bool:
    return not unrelated(old, new, [axis.relation for axis in change])


def short(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of few bits, whose products with simple shares are exact."""
    return torch.randint(-999, 999, shape).to(dtype) / 64


def a_map_drops(change) -> bool:
    """Whether a unit of a split axis has no part left, which says that it was zero."""
    return any(len(np.unique(axis.relation.group)) < axis.size for axis in change)


@given(st.lists(axes(), min_size=1, max_size=3), st.sampled_from((torch.float32, torch.float64)))
def test_cert_10_accepts_what_a_change_makes(change, dtype: torch.dtype):
    assume(not a_map_drops(change))
    assume(dtype is torch.float64 or len(change) == 1)  # nine shares of 3 bits are too long for f32
    old = short(*(axis.size for axis in change), dtype=dtype)
    assert related(old, mapped(old, change), change)


@given(st.lists(axes(onto=True), min_size=1, max_size=2), st.randoms())
def test_cert_10_rejects_one_number_that_is_an_ulp_off(change, random):
    """Unless it is free: then any number will do."""
    old = short(*(axis.size for axis in change))
    new = mapped(old, change)
    index = tuple(random.randrange(size) for size in new.shape)
    kinds = [axis.relation.source[k] for axis, k in zip(change, index, strict=True)]
    is_free = FREE in kinds and ZERO not in kinds
    new[index] = torch.nextafter(new[index], torch.tensor(torch.inf))
    assert related(old, new, change) == is_free


def test_cert_10_a_unit_without_parts_was_zero():
    gone = (Mapped(3), Mapped(2, AxisMap.copies(2, (0,)), "split"))
    old = short(3, 2)
    old[:, 1] = 0
    assert related(old, old[:, :1], gone)
    old[2, 1] = 1e-45
    assert not related(old, old[:, :1], gone)


def test_cert_10_a_copied_unit_may_go_whatever_it_was():
    gone = (Mapped(3), Mapped(2, AxisMap.copies(2, (0,)), "copy"))
    old = short(3, 2)
    assert related(old, old[:, :1], gone)
    assert not related(old, old[:, 1:], gone)


def test_cert_10_heads_are_copied_and_their_width_is_split_in_one_axis():
    axis = Multiplied((COPY, SPLIT))
    old = short(4)
    new = mapped(old, [axis])
    assert related(old, new, [axis])
    swapped = Multiplied((SPLIT, COPY))
    assert not related(old, new, [swapped])
    # The sums are right, the two copies of a head are not the same.
    parted = new.clone().reshape(4, 4)
    parted[1, 1:3] += torch.tensor([1.0, -1.0])
    assert not related(old, parted.reshape(-1), [axis])


def test_cert_10_sums_are_exact_where_float64_sums_are_not():
    three = AxisMap.copies(1, (0, 0, 0))
    change = [Mapped(1, three, "split")]
    for numbers in ([1.0, 1e-30, 0.0], [1e16, 1.0, -1e16]):
        new = torch.tensor(numbers, dtype=torch.float64)
        assert not related(torch.tensor([new.sum().item()], dtype=torch.float64), new, change)
    hidden = torch.tensor([1e16, 1.0, -1e16], dtype=torch.float64)
    assert related(torch.tensor([1.0], dtype=torch.float64), hidden, change)
    inner = [*change, Mapped(2), Mapped(2)]
    cube = hidden[:, None, None].expand(3, 2, 2)
    assert related(torch.ones(1, 2, 2, dtype=torch.float64), cube, inner)
    assert not related(torch.tensor([0.0], dtype=torch.float64), hidden, change)


def test_cert_10_parts_may_be_summed_along_either_axis_first():
    """CERT-10: one of the sums in between is no float64"""
    two = Mapped(1, AxisMap.copies(1, (0, 0)), "split")
    old = torch.tensor([[2.0**-60]], dtype=torch.float64)
    new = torch.tensor([[1.0, -1.0], [2.0**-60, 0.0]], dtype=torch.float64)
    for parts in (new, new.T):
        assert related(old, parts, [two, two])
        assert not related(old, 2 * parts, [two, two])
    in_no_order = torch.tensor([[1.0, 2.0**-60], [2.0**-60, 0.0]], dtype=torch.float64)
    assert not related(torch.ones_like(old), in_no_order, [two, two])


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_cert_10_rejects_numbers_that_are_not_finite(number: float):
    old = torch.tensor([1.0, number])
    assert not related(old, old[[0, 1, 1]], [Mapped(2, AxisMap.copies(2, (0, 1, 1)))])


def test_cert_10_rejects_another_shape_or_dtype():
    old = short(2)
    assert not related(old, short(3), [COPY])
    assert not related(old, mapped(old, [COPY]).double(), [COPY])


def test_cert_10_integers_are_copied():
    old = torch.tensor([3, 4])
    assert related(old, old[[0, 1, 1, 0]], [COPY])
    assert not related(old, old[[0, 1, 0, 0]], [COPY])
    large = torch.tensor([2**60, 4])
    assert not related(large, large + torch.tensor([1, 0]), [Mapped(2)])
    assert not related(large, torch.tensor([2**60 + 1, 5, -1, 0]), [SPLIT])


@pytest.mark.parametrize("block", [2, 8, 24])
@pytest.mark.parametrize("change", [(Mapped(5), SPLIT, Mapped(3)), (Mapped(1), SPLIT), (SPLIT,)])
def test_cert_10_large_tensors_are_looked_at_in_blocks(monkeypatch, block: int, change):
    monkeypatch.setattr("morphir.checks.weights._BLOCK", block)
    old = short(*(axis.size for axis in change))
    new = mapped(old, change)
    assert related(old, new, change)
    for index in range(new.numel()):
        other = new.clone()
        other.view(-1)[index] += 1
        assert not related(old, other, change)


def test_cert_10_numbers_may_be_so_large_that_their_sum_is_none():
    old = torch.full((2,), 3e38)
    assert related(old, old[[0, 1, 1]], [Mapped(2, AxisMap.copies(2, (0, 1, 1)))])


FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(FLOATS, FLOATS, st.integers(-2, 2), st.booleans())
def test_cert_10_two_parts_sum_to_a_number_where_their_fractions_do(a, b, ulps, by_difference):
    """CERT-10"""
    numbers = torch.tensor([a, b])
    total = numbers.sum()
    for _ in range(abs(ulps)):
        total = torch.nextafter(total, torch.tensor(torch.inf if ulps > 0 else -torch.inf))
    if by_difference:  # an exact sum, however different the parts are
        numbers[1] = total - numbers[0]
    assume(total.isfinite() and bool(numbers.isfinite().all()))
    is_exact = sum(map(Fraction, numbers.tolist())) == Fraction(total.item())
    assert bool(unrelated(total[None], numbers, APART)) is not is_exact


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_cert_10_a_processor_that_clears_subnormal_numbers_hides_nothing(dtype: torch.dtype):
    """CERT-10"""
    old = torch.zeros(3, 2, dtype=dtype)
    new = torch.zeros(3, 4, dtype=dtype)
    new[0, 1] = torch.nextafter(new[0, 1], torch.ones_like(new[0, 1]))
    assert torch.set_flush_denormal(True)
    try:
        assert not related(old, new, (Mapped(3), SPLIT))
        assert related(old, torch.zeros(3, 4, dtype=dtype), (Mapped(3), SPLIT))
        assert not (torch.full((1,), 1e-38) / 100).count_nonzero(), "it is told so still"
    finally:
        torch.set_flush_denormal(False)


def test_cert_10_whole_numbers_are_summed_as_such():
    """CERT-10: float64 can't tell 2^60 + 1 from 2^60, and 100 + 100 is no number of 8 bits."""
    large = torch.tensor([2**60])
    assert not unrelated(torch.tensor([3]), torch.tensor([4, -1]), APART)
    assert not unrelated(large, torch.tensor([2**60 + 1, -1]), APART)
    assert not unrelated(large, large[[0, 0]], [Relation.copied(AxisMap.copies(1, (0, 0)))])
    assert unrelated(large, torch.tensor([2**60 + 1, 0]), APART)
    one, other = torch.tensor([100 + 100, 100]).to(torch.int8)[:, None]
    assert one == other + other, "8 bits can't hold it"
    assert unrelated(one, torch.cat([other, other]), APART)
    gone = [Relation.split(AxisMap.copies(2, (0,)))]
    assert not unrelated(torch.tensor([3, 0]), torch.tensor([3]), gone)
    assert unrelated(torch.tensor([3, 1]), torch.tensor([3]), gone)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_cert_10_complex_numbers_are_pairs(dtype: torch.dtype):
    """CERT-10: of exact sums each."""
    old = torch.tensor([1 + 1j], dtype=dtype)
    for parts, fits in (([1, 1j], True), ([1 + 1j, 1e-30], False), ([1 + 1j, 1e-30j], False)):
        assert bool(unrelated(old, torch.tensor(parts, dtype=dtype), APART)) is not fits
    assert unrelated(old, old.conj(), [Relation.identity(1)])
    assert not unrelated(old, old, [Relation.identity(1)])


@final
class Made(TorchDispatchMode):
    """Notes of tensors that are made, unless they are views of given ones, how large they are."""

    def __init__(self, *given: torch.Tensor) -> None:
        super().__init__()
        self._there = {each.untyped_storage().data_ptr() for each in given}
        self.sizes, self.dtypes = [0], set[torch.dtype]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        is_new = isinstance(found, torch.Tensor) and found.device.type != "meta"
        if is_new and found.untyped_storage().data_ptr() not in self._there:
            self.sizes.append(found.numel())
            self.dtypes.add(found.dtype)
        return found


@pytest.mark.parametrize(
    ("relation", "largest"),
    [
        (Relation.identity(64), 1),
        (Relation.copied(AxisMap.copies(64, (*range(64),) * 2)), 1),
        (Relation.split(AxisMap.copies(64, (*range(64),) * 2)), 64 * 8),
    ],
)
def test_cert_10_no_copies_are_made_of_units_in_their_places(relation: Relation, largest: int):
    """CERT-10 costs little memory and time: two sides are compared where they are, as they are."""
    old = short(64, 8)
    new = old[relation.source]
    new[64:] = 0 if largest > 1 else new[64:]
    with Made(old, new) as made:
        assert not unrelated(old, new, [relation, Relation.identity(8)])
    assert max(made.sizes) <= largest
    assert torch.float64 not in made.dtypes


def test_cert_10_memory_does_not_grow_with_a_tensor(monkeypatch):
    """CERT-10: large tensors are cut along the longest axis that does not change."""
    monkeypatch.setattr("morphir.checks.weights._BLOCK", 8)
    turned = Relation.copied(AxisMap.copies(4, (3, 1, 0, 2)))
    relations = [Relation.identity(32), turned, Relation.identity(2)]
    for order in ([0, 1, 2], [2, 1, 0]):
        old = short(*(relations[axis].size for axis in order))
        new = old[:, turned.source]
        with Made(old, new) as made:
            assert not unrelated(old, new, [relations[axis] for axis in order])
        assert max(made.sizes) == 8


def test_cert_10_where_there_is_no_number_none_is_wrong():
    """CERT-10"""
    for relation in (COPY.relation, SPLIT.relation):
        assert not unrelated(short(0, 2), short(0, 4), [Relation.identity(0), relation])


def test_cert_10_fractions_are_for_few(monkeypatch):
    """CERT-10: where nothing is rounded, nothing is summed number by number."""
    three = Relation.split(AxisMap.copies(4, (0, 1, 2, 3) * 3))
    old = short(4, 5)
    thirds = torch.cat([old - old / 8 - old / 4, old / 8, old / 4])
    monkeypatch.setattr("morphir.checks.weights.Fraction", None)
    assert not unrelated(old, thirds, [three, Relation.identity(5)])
    assert unrelated(old, thirds + 1, [three, Relation.identity(5)])


def test_cert_10_tensors_are_read_where_they_are():
    """CERT-10: not where new ones would be made, which may be another device."""
    change = [Mapped(3), Mapped(2, AxisMap.copies(2, (1, 0, 1, 1)), "split")]
    old = short(3, 2)
    new = mapped(old, change)
    with torch.device("meta"):
        assert related(old, new, change)
        assert not related(old, -new, change)
