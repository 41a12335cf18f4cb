"""Whether a new tensor is related to an old one, in exact arithmetic.

    CERT-10  a tensor is related to an old one, axis by axis, if what is claimed to be zero is zero,
             positions that take one part hold the same number, and the parts of each unit sum to it
             exactly, as real numbers

The sums are error-free: float64 additions, each of which leaves no rest (Knuth's TwoSum), and exact
fractions for the few that do. Plain float64 sums would accept 1 + 1e-30 = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from typing import Final

import numpy as np
import torch

from morphir.ir.relation import ZERO, Indices, Relation
from morphir.tensors import real_parts

_BLOCK: Final = 1 << 20  # numbers that are looked at together
_WHOLE: Final = 1 << 53  # up to here float64 has all whole numbers


def unrelated(old: torch.Tensor, new: torch.Tensor, relations: Sequence[Relation]) -> str:
    """Says why a tensor is not related to an old one, axis by axis, or "" (CERT-10)."""
    shapes = [relation.size for relation in relations], [r.new_size for r in relations]
    if [[*old.shape], [*new.shape]] != [*shapes] or old.dtype != new.dtype:
        return f"a {old.dtype} of shape {[*old.shape]} became a {new.dtype} of {[*new.shape]}"
    if old.is_complex():  # real and imaginary parts, each by itself
        old, new = real_parts(old), real_parts(new)
        relations = [*relations, Relation.identity(2)]
    with _with_subnormals():
        found = (_unrelated(*block, relations) for block in _blocks(old, new, relations))
        return next(filter(None, found), "")


def _blocks(
    old: torch.Tensor, new: torch.Tensor, relations: Sequence[Relation]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cuts large tensors along an axis that does not change, so that little memory is needed."""
    kept = [axis for axis, relation in enumerate(relations) if relation.is_identity]
    if not kept or new.numel() <= _BLOCK:
        yield old, new
        return
    axis = max(kept, key=lambda each: old.shape[each])
    length = max(1, old.shape[axis] * _BLOCK // new.numel())
    for start in range(0, old.shape[axis], length):
        stop = min(length, old.shape[axis] - start)
        yield old.narrow(axis, start, stop), new.narrow(axis, start, stop)


def _unrelated(old: torch.Tensor, new: torch.Tensor, relations: Sequence[Relation]) -> str:
    changed = [axis for axis, relation in enumerate(relations) if not relation.is_identity]
    for axis in changed:
        if _select(new, axis, np.flatnonzero(relations[axis].take == ZERO)).any():
            return f"a new entry along axis {axis} is not zero"
    for axis in changed:
        new = _select(new, axis, np.flatnonzero(relations[axis].take >= 0))
    if not _is_finite(new):
        return "an entry is not finite"
    sums: dict[int, Indices] = {}
    for axis in changed:
        units, positions, again, group = _reading(relations[axis])
        if not torch.equal(*(_select(new, axis, side) for side in again)):
            return f"copies along axis {axis} differ"
        old, new = _select(old, axis, units), _select(new, axis, positions)
        if not np.array_equal(group, np.arange(len(units))):
            sums[axis] = group
    if sums and not (_is_held(old) and _is_held(new)):
        return "whole numbers above 2^53 are not summed"
    return "" if _sums_to(old, new, sums) else "the parts of a unit do not sum to it"


def _is_held(tensor: torch.Tensor) -> bool:
    """Whether float64 holds the numbers, which are summed there."""
    if tensor.is_floating_point() or tensor.dtype is torch.bool or not tensor.numel():
        return True
    low, high = tensor.aminmax()
    return max(abs(int(low)), abs(int(high))) <= _WHOLE


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    # A sum takes a fraction of the time, and is finite only if all numbers are.
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())


def _reading(relation: Relation) -> tuple[Indices, Indices, tuple[Indices, Indices], Indices]:
    """How to read an axis of which only positions that take a part are left.

    Returns:
        The old units about which something is said, those of which no part is left out; for each of
        their parts a position that takes it, first one of every unit, then a second one of those
        that have one, and so on; pairs of positions that take the same part; and for each of the
        parts the number of its unit among the units.
    """
    take = relation.take[relation.take >= 0]
    parts, first, inverse = np.unique(take, return_index=True, return_inverse=True)
    left_out = np.setdiff1d(np.arange(len(relation.group)), parts)
    units = np.setdiff1d(np.arange(relation.size), relation.group[left_out])
    again = np.setdiff1d(np.arange(len(take)), first)
    group = relation.group[parts]
    said = np.isin(group, units)
    positions, number = first[said], np.searchsorted(units, group[said])
    by_unit = np.argsort(number, kind="stable")
    turn = np.empty(len(number), np.int64)
    turn[by_unit] = _turns(number[by_unit])
    order = np.lexsort((number, turn))
    return units, positions[order], (again, first[inverse[again]]), number[order]


def _turns(group: Indices) -> Indices:
    """For each of sorted numbers how many of the same come before it."""
    return np.arange(len(group)) - np.searchsorted(group, group)


def _select(tensor: torch.Tensor, axis: int, positions: Indices) -> torch.Tensor:
    if not len(positions):
        return tensor.narrow(axis, 0, 0)
    start = int(positions[0])
    if np.array_equal(positions, np.arange(start, start + len(positions))):  # a view
        return tensor.narrow(axis, start, len(positions))
    return tensor.index_select(axis, torch.from_numpy(positions).to(tensor.device))


def _sums_to(old: torch.Tensor, parts: torch.Tensor, sums: Mapping[int, Indices]) -> bool:
    """Whether parts sum to old units; which axis is summed first decides what is representable."""
    if not sums:
        return torch.equal(old, parts)
    if len(sums) == 1:
        ((axis, group),) = sums.items()
        return _sums_along(old, parts, axis, group)
    wanted = old.double()
    for axes in ([*sums], [*sums][::-1]):
        total: torch.Tensor | None = parts.double()
        for axis in axes:
            total = None if total is None else _sum(total, axis, sums[axis], wanted.shape[axis])
        if total is not None:
            return torch.equal(total, wanted)
    return False


def _sums_along(old: torch.Tensor, parts: torch.Tensor, axis: int, group: Indices) -> bool:
    """The same along one axis, where most units have one part or two."""
    counts = np.bincount(group, minlength=old.shape[axis])
    for count in np.unique(counts):
        units = np.flatnonzero(counts == count)
        inside = np.flatnonzero(np.isin(group, units))
        wanted = _select(old, axis, units)
        if count == 1:
            fits = torch.equal(wanted, _select(parts, axis, inside))
        elif count == 2:
            sides = (_select(parts, axis, side) for side in np.split(inside, 2))
            fits = _is_sum(wanted, *sides)
        else:
            among = np.searchsorted(units, group[inside])
            total = _sum(_select(parts, axis, inside).double(), axis, among, len(units))
            fits = total is not None and torch.equal(total, wanted.double())
        if not fits:
            return False
    return True


def _is_sum(total: torch.Tensor, a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether `a + b = total` as real numbers.

    If it is, all three hold without rounding. If all three hold, take `|a| >= |b|`: then the second
    difference has no rounding error (Dekker's FastTwoSum), and leaves no rest.
    """
    if total.dtype not in (torch.float32, torch.float64):
        total, a, b = total.double(), a.double(), b.double()
    return torch.equal(a + b, total) and torch.equal(total - a, b) and torch.equal(total - b, a)


@contextmanager
def _with_subnormals() -> Iterator[None]:
    """Has the processor keep numbers below the smallest normal one, if it was told to clear them.

    Cleared, they would equal 0.
    """
    tiny = torch.full((1,), torch.finfo(torch.float32).tiny / 4)
    cleared = not (tiny + tiny).count_nonzero()
    if cleared:
        torch.set_flush_denormal(False)
    try:
        yield
    finally:
        if cleared:
            torch.set_flush_denormal(True)


def _sum(parts: torch.Tensor, axis: int, group: Indices, units: int) -> torch.Tensor | None:
    """The exact sums of the parts of each unit, in turns; None where float64 can't hold one."""
    shape = [*parts.shape]
    shape[axis] = units
    total = parts.new_zeros(shape)
    is_exact = torch.ones(shape, dtype=torch.bool, device=parts.device)
    by_unit = np.argsort(group, kind="stable")
    turns = np.empty(len(group), np.int64)
    turns[by_unit] = _turns(group[by_unit])
    for turn in range(int(turns.max(initial=-1)) + 1):
        these = np.flatnonzero(turns == turn)
        where = torch.from_numpy(group[these]).to(parts.device)
        a, b = total.index_select(axis, where), _select(parts, axis, these)
        s = a + b
        shadow = s - a
        rest = (a - (s - shadow)) + (b - shadow)
        total.index_copy_(axis, where, s)
        is_exact.index_copy_(axis, where, is_exact.index_select(axis, where) & (rest == 0))
    return total if bool(is_exact.all()) else _fractions(parts, total, is_exact, axis, group)


def _fractions(
    parts: torch.Tensor, total: torch.Tensor, is_exact: torch.Tensor, axis: int, group: Indices
) -> torch.Tensor | None:
    for index in (~is_exact).nonzero().tolist():
        lines = parts.movedim(axis, -1)[tuple(index[:axis] + index[axis + 1 :])]
        exact = sum(
            (Fraction(lines[k].item()) for k in np.flatnonzero(group == index[axis])), Fraction(0)
        )
        if Fraction(float(exact)) != exact:
            return None
        total[tuple(index)] = float(exact)
    return total
