"""The numbers of a tensor whose axes change, and the way back.

    BACK-8    what is copied is gathered; the parts of what is split sum to the old number exactly,
              as real numbers, in every floating dtype
    BACK-9    `merge` undoes `split` to the bit
    BACK-15   `merged` sums the copies of a unit exactly, and rounds that once to float64

Shares times a number do not sum to it: three times `fl(w/3)` is hardly ever `w`. So a number is
halved by subtraction. One half is `a = fl(f w)` with a factor f between 1/2 and 2, the other is
`w - a`, and by Sterbenz's lemma that difference has no rounding error. For a share s of at least
1/2 the factor is s; for a smaller one it is 1 - s, and the roles are swapped, which also serves
negative shares down to -1. More than two copies are halved again, the first half of them the longer
one, so that no share is what was left over after many others.

A share that overflows is not realised: the whole number goes to one copy, as infinities do. Only
torch.set_flush_denormal breaks these laws, for the numbers that it takes for zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import final

import torch

from morphir.backend.strides import laid_out_as
from morphir.errors import RefusalError
from morphir.ir import FRESH, Added, AxisChange, AxisMap, Mapped, Multiplied, TensorChange

Part = Callable[[torch.Tensor, Mapped, int], torch.Tensor]


def split(tensor: torch.Tensor, change: TensorChange) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """The tensor after a change, and the numbers that it has lost; fresh positions are 0 (BACK-8).

    Besides the result this takes memory for the numbers that have several copies on a split axis,
    and for a second result where several atoms change.

    Raises:
        RefusalError: The dtype, or a share, has no exact split.
    """
    if tensor.is_floating_point() and tensor.element_size() == 1:
        raise _no_split(tensor)
    lost: list[torch.Tensor] = []
    new = tensor

    def part(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
        assert atom.map is not None
        removed = _removed(atom.map)
        if removed:
            lost.append(_select(tensor, axis, removed))
        return _split_atom(tensor, atom, axis)

    for axis, each in enumerate(change):
        new = along(new, each, axis, part)
    return laid_out_as(new, tensor), lost


def merge(
    tensor: torch.Tensor, change: TensorChange, lost: Sequence[torch.Tensor] = ()
) -> torch.Tensor:
    """The tensor before a change, from what `split` returned (BACK-9).

    Where the copies were trained since, they are summed in the reverse order of their creation.
    """
    rest, old = [*lost], tensor

    def part(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
        assert atom.map is not None
        removed = _removed(atom.map)
        found = _merge_atom(tensor, atom, axis)
        if removed:
            found.index_copy_(axis, _index(removed, found), rest.pop())
        return found

    for axis, each in reversed([*enumerate(change)]):
        old = along(old, each, axis, part, reverse=True)
    return laid_out_as(old, tensor)


def merged(tensor: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The tensor whose copies these are, in float64, whoever made them in what order (BACK-15).

    Where copies were split from a number, however many times, their exact sum is that number.
    """

    def part(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
        return _sum_atom(tensor, atom, axis)

    found = tensor.to(torch.promote_types(tensor.dtype, torch.float64))
    for axis, each in reversed([*enumerate(change)]):
        found = along(found, each, axis, part, reverse=True)
    return laid_out_as(found, tensor)


def united(mask: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The mask of which these are copies: it has a 1 where one of them has (MASK-2)."""

    def part(mask: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
        assert atom.map is not None
        copies = copies_of(atom.map)
        found = _select(mask, axis, [positions[0] for positions in copies])
        for unit, positions in enumerate(copies):
            if len(positions) > 1:
                largest = _select(mask, axis, positions).amax(axis)
                found.select(axis, unit).copy_(largest)
        return found

    found = mask
    for axis, each in reversed([*enumerate(change)]):
        found = along(found, each, axis, part, reverse=True)
    return laid_out_as(found, mask)


def along(
    tensor: torch.Tensor, change: AxisChange, axis: int, part: Part, *, reverse: bool = False
) -> torch.Tensor:
    """Does something to every atom of an axis that changes, from left to right or in reverse.

    Args:
        tensor: The tensor.
        change: How the axis changes.
        axis: Which it is.
        part: What is done, given a tensor in which the atom is an axis of its own.
        reverse: Whether the tensor is as the change would leave it.
    """
    if change.relation.is_identity:
        return tensor
    if isinstance(change, Mapped):
        return part(tensor, change, axis)
    parts = change.terms if isinstance(change, Added) else change.factors
    sizes = [each.new_size if reverse else each.size for each in parts]
    order = [*enumerate(parts)][:: -1 if reverse else 1]
    if isinstance(change, Multiplied):
        tensor = tensor.reshape(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])
        for number, each in order:
            tensor = along(tensor, each, axis + number, part, reverse=reverse)
        return tensor.flatten(axis, axis + len(parts) - 1)
    found = [*torch.split(tensor, sizes, axis)]
    for number, each in order:
        found[number] = along(found[number], each, axis, part, reverse=reverse)
    return torch.cat(found, axis)


def _split_atom(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
    assert atom.map is not None
    source = atom.map.source
    if not atom.size:  # nothing to gather from
        return tensor.new_zeros([*tensor.shape[:axis], len(source), *tensor.shape[axis + 1 :]])
    new = _select(tensor, axis, [max(unit, 0) for unit in source])
    fresh = [position for position, unit in enumerate(source) if unit == FRESH]
    if fresh:
        new.index_fill_(axis, _index(fresh, new), 0)
    for level in _levels(atom):
        if not tensor.is_floating_point():
            raise _no_split(tensor)
        whole = _select(new, axis, level.whole)
        factors = torch.tensor(level.factors, dtype=_precise(new.dtype), device=new.device)
        first, second = _halves(whole, factors.reshape(-1, *[1] * (new.dim() - 1 - axis)))
        new.index_copy_(axis, _index(level.first, new), first)
        new.index_copy_(axis, _index(level.second, new), second)
    return new


def _halves(whole: torch.Tensor, factor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Two numbers that sum to a third, the first about `factor` times as large."""
    first = (whole * factor).to(whole.dtype)
    first = torch.where(first.isinf(), whole, first)
    # An infinity would leave NaN, and a -0 would leave a 0, with which it sums to 0.
    nothing = torch.copysign(torch.zeros_like(whole), whole)
    return first, torch.where(first == whole, nothing, whole - first)


def _merge_atom(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
    assert atom.map is not None
    place = {unit: position for position, unit in reversed([*enumerate(atom.map.source)])}
    old = _select(tensor, axis, [place.get(unit, 0) for unit in range(atom.size)])
    levels = _levels(atom)
    if not levels:
        return old
    # Only what has several copies is summed; it is looked up by its position among these.
    many = sorted({position for level in levels for position in level.first + level.second})
    at = {position: number for number, position in enumerate(many)}
    parts = _select(tensor, axis, many)
    for level in reversed(levels):
        first = _select(parts, axis, [at[position] for position in level.first])
        first += _select(parts, axis, [at[position] for position in level.second])
        parts.index_copy_(axis, _index([at[p] for p in level.whole], parts), first)
    tops = levels[0].whole
    sums = _select(parts, axis, [at[position] for position in tops])
    return old.index_copy_(axis, _index([atom.map.source[p] for p in tops], old), sums)


def copies_of(axis_map: AxisMap) -> list[list[int]]:
    """The positions of the copies of each unit."""
    copies: list[list[int]] = [[] for _ in range(axis_map.size)]
    for position, unit in enumerate(axis_map.source):
        if unit != FRESH:
            copies[unit].append(position)
    return copies


def _sum_atom(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
    """The units of an atom: of copies the first, or the sum (Neumaier 1974)."""
    assert atom.map is not None
    copies = copies_of(atom.map)
    total = _select(tensor, axis, [positions[0] for positions in copies])
    if atom.polarity == "copy":
        return total
    rest = torch.zeros_like(total)
    for turn in range(1, max(map(len, copies), default=0)):
        units = [unit for unit, positions in enumerate(copies) if len(positions) > turn]
        index = _index(units, tensor)
        a, b = (
            total.index_select(axis, index),
            _select(tensor, axis, [copies[unit][turn] for unit in units]),
        )
        both = a + b
        shadow = both - a
        total.index_copy_(axis, index, both)
        rest.index_add_(axis, index, (a - (both - shadow)) + (b - shadow))
    # A rest of 0 would make 0 of -0, and that of an infinity is NaN.
    return torch.where((rest == 0) | total.isinf(), total, total + rest)


@final
@dataclass(frozen=True, slots=True)
class _Level:
    """Numbers that are halved at once, by their positions on the new axis.

    Attributes:
        whole: Where they are.
        first: Where the half goes that is a rounded product.
        second: Where the other one goes.
        factors: What is multiplied with, from 1/2 to 2.
    """

    whole: list[int]
    first: list[int]
    second: list[int]
    factors: list[float]


def _levels(atom: Mapped) -> list[_Level]:
    """How copies come about on a split axis, from whole numbers to the last halves.

    Raises:
        RefusalError: A half has a share of its whole below -1 or above 2.
    """
    if atom.map is None or atom.polarity == "copy":
        return []
    return _levels_of(atom.map)


@lru_cache(maxsize=64)  # one map splits the next layer and its moments
def _levels_of(axis_map: AxisMap) -> list[_Level]:
    copies: dict[int, list[int]] = {}
    for position, unit in enumerate(axis_map.source):
        copies.setdefault(unit, []).append(position)
    copies.pop(FRESH, None)
    nodes = [positions for positions in copies.values() if len(positions) > 1]
    levels = []
    while nodes:
        level, halves = _Level([], [], [], []), []
        for positions in nodes:
            half = (len(positions) + 1) // 2
            left, right = positions[:half], positions[half:]
            share = _share(axis_map, left, positions)
            swapped = share < Fraction(1, 2)
            level.whole.append(left[0])
            level.first.append(right[0] if swapped else left[0])
            level.second.append(left[0] if swapped else right[0])
            level.factors.append(float(1 - share if swapped else share))
            halves += [each for each in (left, right) if len(each) > 1]
        levels.append(level)
        nodes = halves
    return levels


def _share(axis_map: AxisMap, left: list[int], positions: list[int]) -> Fraction:
    part, whole = (sum(axis_map.share[p] for p in each) for each in (left, positions))
    share = Fraction(part) / whole if whole else None
    if share is None or not -1 <= share <= 2:
        shares = ", ".join(str(axis_map.share[p]) for p in positions)
        raise RefusalError(
            f"shares of {shares} have no exact split: the first {len(left)} of these copies would "
            f"carry {part} of {whole}, and only a share from -1 to 2 of a number can be taken from "
            "it without rounding",
            suggestions=["shares such as 5/4 and -1/4", "equal shares"],
        )
    return share


def _no_split(tensor: torch.Tensor) -> RefusalError:
    return RefusalError(
        f"numbers of {tensor.dtype} have no exact split into the parts of several copies",
        suggestions=["float16, bfloat16, float32 or float64", "fresh units in place of copies"],
    )


def _precise(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _removed(axis_map: AxisMap) -> list[int]:
    return sorted({*range(axis_map.size)} - {*axis_map.source})


def _select(tensor: torch.Tensor, axis: int, positions: Sequence[int]) -> torch.Tensor:
    return tensor.index_select(axis, _index(positions, tensor))


def _index(positions: Sequence[int], tensor: torch.Tensor) -> torch.Tensor:
    return torch.tensor(positions, dtype=torch.int64, device=tensor.device)
