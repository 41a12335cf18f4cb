"""Remove what masks, zeros and copies have made useless, everywhere at once.

    COMPACT-1   units that contribute nothing are removed, and so are those that then contribute
                nothing, until every axis has none left or a single unit
    COMPACT-2   units that are copies of one another are one, and what reads them has the sum of
                what read each:  sum_j w[:, j] x = (sum_j w[:, j]) x  where all x[j] = x
    COMPACT-3   compacting after a widening by copies gives the old weights back, bit for bit

Merging is a widening read backwards, and is checked as one: the old model has to be the new one,
widened (CERT-15).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, final

import numpy as np

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import FRESH, AxisMap, Grade, Program, Resize, Rewriter
from morphir.ops.forms import Atom
from morphir.passes.base import MorphismPass
from morphir.passes.copies import copies_in, widening_to
from morphir.passes.units import Known, Units, without


@final
@dataclass(frozen=True)
class CompactPass(MorphismPass):
    """Remove all units that provably do nothing, along every axis, to a fixpoint.

    Args:
        merge_copies: Whether units that are copies of one another, with the same incoming numbers,
            become one, whose outgoing numbers are the sums of theirs. It undoes a widening by
            copies to the bit; sums that no float holds are rounded once, the change is then
            `TESTED`, and the report says how far that moves the outputs.

    Raises:
        RefusalError: An option has a value that no model could fit.
    """

    name: ClassVar[str] = "compact"
    resizes: ClassVar[bool] = True

    merge_copies: bool = False

    def __post_init__(self) -> None:
        if type(self.merge_copies) is not bool:
            raise RefusalError(
                f"merge_copies={self.merge_copies!r}, expected True or False",
                suggestions=["merge_copies=True"],
            )

    @property
    def claim(self) -> Grade:
        """`PROVED`, but for sums of copies, which may have to be rounded."""
        return Grade.TESTED if self.merge_copies else Grade.PROVED

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        groups = AxisGroups(program)
        axes = _axes(groups)
        known = Known(program)
        gone = _useless(axes, known)
        merges = _merges(program, groups, axes, gone) if self.merge_copies else {}
        maps = {leaf: without(leaf.size, units) for leaf, units in gone.items()}
        maps = merges or _changeable(groups, maps, inverse=False)
        if not maps:
            return ["nothing is useless"]
        tensors, attributes = groups.resize(maps, inverse=bool(merges))
        for leaf, axis_map in () if merges else maps.items():
            tensors = axes[leaf].claims(tensors, axis_map, known)
        law = "COMPACT-2" if merges else "COMPACT-1"
        edit = Resize(
            "the model", law, tensors, attributes, {"init": "copy"}, inverse=bool(merges)
        )  # fmt: skip
        rewriter.resize(edit)
        left = {leaf: len(units) for leaf, units in gone.items()}
        for leaf, axis_map in maps.items():
            left[leaf] = left.get(leaf, 0) - (
                axis_map.source.count(FRESH) if merges else leaf.size - len(axis_map.source)
            )
        return [*_told(program, edit, axes, maps), *_told_left(sum(left.values()))]


def _axes(groups: AxisGroups) -> dict[Atom, Units]:
    """The axes that may change."""
    found = {}
    for leaf, group in groups.groups.items():
        if group.reason is None and group.state and leaf.size > 1:
            try:
                found[leaf] = Units(groups, leaf)
            except RefusalError:
                continue
    return found


def _useless(axes: Mapping[Atom, Units], known: Known) -> dict[Atom, list[int]]:
    """The units that contribute nothing, and then do not, one of each axis excepted (COMPACT-1).

    The numbers of those that were found are taken for zero, so that others are found by them; the
    last axes come first, since most units die of not being read.
    """
    axes = {leaf: units for leaf, units in axes.items() if _can_lose(units)}
    gone: dict[Atom, list[int]] = {leaf: [] for leaf in axes}
    while True:
        before = sum(map(len, gone.values()))
        for leaf, units in reversed(axes.items()):
            found = np.flatnonzero(units.dead(known)).tolist()
            kept = found[: max(0, len(found) + 1 - leaf.size)]
            new = sorted({*found} - {*kept} - {*gone[leaf]})
            if new and len(gone[leaf]) + len(new) < leaf.size:
                units.clear(known, new)
                gone[leaf] = sorted([*gone[leaf], *new])
        if sum(map(len, gone.values())) == before:
            return {leaf: units for leaf, units in gone.items() if units}
        known.forget()


def _can_lose(units: Units) -> bool:
    try:
        units.check()
    except RefusalError:
        return False
    return True


def _merges(
    program: Program,
    groups: AxisGroups,
    axes: Mapping[Atom, Units],
    gone: Mapping[Atom, Sequence[int]],
) -> dict[Atom, AxisMap]:
    """The widenings that would have made the copies, and what goes without a trace (COMPACT-2)."""
    known = Known(program)
    maps = {}
    for leaf, units in axes.items():
        unread = {*gone.get(leaf, ())} & {*np.flatnonzero(units.unread(known)).tolist()}
        first = copies_in(units, known, unread)
        if any(of != unit for unit, of in enumerate(first)):
            maps[leaf] = widening_to(units, known, first, unread)
    return _changeable(groups, maps, inverse=True)


def _changeable(
    groups: AxisGroups, maps: Mapping[Atom, AxisMap], *, inverse: bool
) -> dict[Atom, AxisMap]:
    """As many of some changes as can be made together: all, or one after the other."""
    found: dict[Atom, AxisMap] = {}
    for tried in ([maps] if maps else []) + [{leaf: m} for leaf, m in maps.items()]:
        try:
            groups.resize({**found, **tried}, inverse=inverse)
        except RefusalError:
            continue
        found |= tried
        if len(found) == len(maps):
            break
    return found


def _told(
    program: Program, edit: Resize, axes: Mapping[Atom, Units], maps: Mapping[Atom, AxisMap]
) -> Iterator[str]:
    for leaf, axis_map in maps.items():
        new = axis_map.size if edit.inverse else len(axis_map.source)
        yield f"{axes[leaf].name}: {leaf.size} -> {new} units ({edit.law})"
    parameters = [name for name in edit.tensors if program.state[name].kind == "parameter"]
    fewer = sum(prod(edit.old_shape(n)) - prod(edit.new_shape(n)) for n in parameters)
    yield f"{fewer:,} parameters fewer"


def _told_left(count: int) -> Iterator[str]:
    if count:
        yield f"{count} units that do nothing stay: another CompactPass() removes what it can"
