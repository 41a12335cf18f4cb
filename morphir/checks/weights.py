"""Whether a new tensor is related to an old one, in exact arithmetic.

    CERT-10  a tensor is related to an old one, axis by axis, if what is claimed to be zero is zero,
             positions that take one part hold the same number, and the parts of each unit sum to it
             exactly, as real numbers

The sums are error-free: additions of which each is checked to have rounded nothing, and exact
fractions for the few that did. Plain float64 sums would accept 1 + 1e-30 = 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import product as combinations
from typing import Final, final

import numpy as np
import torch

from morphir.ir.relation import ZERO, Indices, Relation
from morphir.tensors import equal_numbers, real_parts

_BLOCK: Final = 1 << 20  # numbers that are looked at together


def unrelated(old: torch.Tensor, new: torch.Tensor, relations: Sequence[Relation]) -> str:
    """Says why a tensor is not related to an old one, axis by axis, or "" (CERT-10)."""
    shapes = [relation.size for relation in relations], [r.new_size for r in relations]
    if [[*old.shape], [*new.shape]] != [*shapes] or old.dtype != new.dtype:
        return f"a {old.dtype} of shape {[*old.shape]} became a {new.dtype} of {[*new.shape]}"
    old, new = real_parts(old), real_parts(new)
    changed = {
        axis: _Reading.of(relation)
        for axis, relation in enumerate(relations)
        if not relation.is_identity
    }
    with _with_subnormals():
        found = (_unrelated(*block, changed) for block in _blocks(old, new, relations))
        return next(filter(None, found), "")


def _blocks(
    old: torch.Tensor, new: torch.Tensor, relations: Sequence[Relation]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cuts tensors along an axis that does not change, so that little memory is needed."""
    kept = [axis for axis, relation in enumerate(relations) if relation.is_identity]
    if not kept or not new.numel():
        return iter([(old, new)])
    axis = max(kept, key=lambda each: old.shape[each])
    length = max(1, old.shape[axis] * _BLOCK // new.numel())
    return zip(*(torch.split(each, length, axis) for each in (old, new)), strict=True)


@final
@dataclass(frozen=True)
class _Reading:
    """How to read an axis that changed.

    Attributes:
        zeros: The new positions that are claimed to be zero.
        taken: Those that take a part; the other fields number among them.
        again: Pairs of positions that take the same part.
        units: The old units about which something is said, those of which no part is left out.
        positions: For each of their parts one that takes it, first one of every unit, then a second
            one of those that have one, and so on.
        group: For each of these the number of its unit among the units.
    """

    zeros: Indices
    taken: Indices
    again: tuple[Indices, Indices]
    units: Indices
    positions: Indices
    group: Indices

    @classmethod
    def of(cls, relation: Relation) -> _Reading:
        """Reads a relation."""
        zeros, taken = np.flatnonzero(relation.take == ZERO), np.flatnonzero(relation.take >= 0)
        parts, first, inverse = np.unique(
            relation.take[taken], return_index=True, return_inverse=True
        )
        left_out = np.delete(np.arange(len(relation.group)), parts)
        units = np.delete(np.arange(relation.size), relation.group[left_out])
        again = np.delete(np.arange(len(taken)), first)
        group = relation.group[parts]
        said = np.isin(group, units)
        positions, number = first[said], np.searchsorted(units, group[said])
        by_unit = np.lexsort((positions, number))
        positions, number = positions[by_unit], number[by_unit]
        turn = np.arange(len(number)) - np.searchsorted(number, number)
        order = np.lexsort((number, turn))
        pairs = again, first[inverse[again]]
        return cls(zeros, taken, pairs, units, positions[order], number[order])


def _unrelated(old: torch.Tensor, new: torch.Tensor, changed: Mapping[int, _Reading]) -> str:
    for axis, reading in changed.items():
        if _select(new, axis, reading.zeros).any():
            return f"a new entry along axis {axis} is not zero"
    for axis, reading in changed.items():
        new = _select(new, axis, reading.taken)
    # A sum takes a fraction of the time, and is finite only if all numbers are.
    if not (new.sum().isfinite() or new.isfinite().all()):
        return "an entry is not finite"
    for axis, reading in changed.items():
        if not equal_numbers(*(_select(new, axis, side) for side in reading.again)):
            return f"copies along axis {axis} differ"
        old, new = _select(old, axis, reading.units), _select(new, axis, reading.positions)
    groups = {axis: reading.group for axis, reading in changed.items()}
    return "" if _sums_to(old, new, groups) else "the parts of a unit do not sum to it"


def _select(tensor: torch.Tensor, axis: int, positions: Indices) -> torch.Tensor:
    if not len(positions):
        return tensor.narrow(axis, 0, 0)
    start = int(positions[0])
    if np.array_equal(positions, np.arange(start, start + len(positions))):  # a view
        return tensor.narrow(axis, start, len(positions))
    return tensor.index_select(axis, torch.as_tensor(positions, device=tensor.device))


def _sums_to(old: torch.Tensor, parts: torch.Tensor, groups: Mapping[int, Indices]) -> bool:
    """Whether parts sum to old units, along several axes; units of equally many at once."""
    counts = {axis: np.bincount(group, minlength=old.shape[axis]) for axis, group in groups.items()}
    for each in combinations(*map(np.unique, counts.values())):
        total, terms = old, [parts]
        for axis, count in zip(groups, each, strict=True):
            units = np.flatnonzero(counts[axis] == count)
            turns = np.flatnonzero(np.isin(groups[axis], units)).reshape(count, len(units))
            total = _select(total, axis, units)
            terms = [_select(term, axis, turn) for term in terms for turn in turns]
        if not _is_sum(total, terms):
            return False
    return True


def _is_sum(total: torch.Tensor, terms: Sequence[torch.Tensor]) -> bool:
    """Whether terms sum to a total as real numbers, element by element.

    `s = a + b` was not rounded if and only if `s - a = b` and `s - b = a`, as computed: take
    `|a| >= |b|`, then the first difference has no rounding error (Dekker's FastTwoSum).
    """
    if len(terms) == 1:
        return equal_numbers(total, terms[0])
    if not total.is_floating_point():  # Python's integers have no largest
        found = sum(term.cpu().numpy().astype(object) for term in terms)
        return bool((total.cpu().numpy() == found).all())
    if len(terms) == 2 and total.dtype in (torch.float32, torch.float64):
        a, b = terms
        return (
            equal_numbers(a + b, total)
            and equal_numbers(total - a, b)
            and equal_numbers(total - b, a)
        )
    s = torch.zeros_like(total)
    for term in terms:
        a, b = s, term.double()
        s = a + b
        s = s.masked_fill((s - a != b) | (s - b != a), torch.nan)
    rounded = s.isnan()
    if not (rounded | (s == total.double())).all():
        return False
    each = map(tuple, rounded.nonzero().tolist())
    return all(sum(Fraction(t[k].item()) for t in terms) == total[k].item() for k in each)


@contextmanager
def _with_subnormals() -> Iterator[None]:
    """Has the processor keep numbers below the smallest normal one, if it was told to clear them.

    Cleared, they would equal 0.
    """
    tiny = torch.full((1,), torch.finfo(torch.float32).tiny / 4, device="cpu")
    cleared = not (tiny + tiny).count_nonzero()
    if cleared:
        torch.set_flush_denormal(False)
    try:
        yield
    finally:
        if cleared:
            torch.set_flush_denormal(True)
