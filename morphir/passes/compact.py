"""Remove what masks, zeros and copies have made useless, everywhere at once.

    COMPACT-1   units that contribute nothing are removed, and so are those that then contribute
                nothing, until every axis has none left or a single unit
    COMPACT-2   units that are copies of one another are one, and what reads them has the sum of
                what read each:  sum_j w[:, j] x = (sum_j w[:, j]) x  where all x[j] = x
    COMPACT-3   compacting after widenings by copies and by fresh units gives the old weights back,
                bit for bit

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
from morphir.ir import AxisMap, Grade, Program, Resize, Rewriter
from morphir.ops.forms import Atom
from morphir.passes.base import MorphismPass
from morphir.passes.copies import copies_in, widening_to
from morphir.passes.units import Known, Units, some, without

Axes = Mapping[Atom, Units]


@final
@dataclass(frozen=True)
class CompactPass(MorphismPass):
    """Remove all units that provably do nothing, along every axis, to a fixpoint.

    Args:
        merge_copies: Whether units that are copies of one another, with the same incoming numbers,
            become one, whose outgoing numbers are the sums of theirs, once what does nothing is
            gone. It undoes widenings to the bit; sums that no float holds are rounded once, the
            change is then `TESTED`, and the report says how far that moves the outputs.

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
    def stages(self) -> tuple[MorphismPass, ...]:
        """Removing comes first, for what does nothing may read copies, each with other numbers."""
        return (CompactPass(), self) if self.merge_copies else (self,)

    @property
    def claim(self) -> Grade:
        """`PROVED`, but for sums of copies, which may have to be rounded."""
        return Grade.TESTED if self.merge_copies else Grade.PROVED

    def rewrite(self, program: Program, rewriter: Rewriter) -> Sequence[str]:
        """Changes the axes."""
        groups, known = AxisGroups(program), Known(program)
        axes = _axes(groups)
        change = _merge if self.merge_copies else _remove
        return change(program, rewriter, groups, axes, known)


def _remove(
    program: Program, rewriter: Rewriter, groups: AxisGroups, axes: Axes, known: Known
) -> Sequence[str]:
    """Removes what is useless (COMPACT-1)."""
    gone = _useless(axes, known)
    wanted = {leaf: without(leaf.size, units) for leaf, units in gone.items()}
    maps = _changeable(groups, wanted, inverse=False)
    if not maps:
        return ["nothing is useless"]
    tensors, attributes = groups.resize(maps)
    for leaf, axis_map in maps.items():
        tensors = axes[leaf].claims(tensors, axis_map, known)
    edit = Resize("the model", "COMPACT-1", tensors, attributes, {"init": "copy"})
    rewriter.resize(edit)
    left = sum(len(units) for leaf, units in gone.items() if leaf not in maps)
    return [*_told(program, edit, axes, maps), *_told_left(left)]


def _merge(
    program: Program, rewriter: Rewriter, groups: AxisGroups, axes: Axes, known: Known
) -> Sequence[str]:
    """Undoes the widenings that would have made the copies (COMPACT-2)."""
    wanted, guessed = {}, {}
    for leaf, units in axes.items():
        first = copies_in(units, known)
        if any(of != unit for unit, of in enumerate(first)):
            wanted[leaf], guessed[leaf] = widening_to(units, known, first)
    maps = _changeable(groups, wanted, inverse=True)
    if not maps:
        return ["nothing is there twice"]
    tensors, attributes = groups.resize(maps, inverse=True)
    edit = Resize("the model", "COMPACT-2", tensors, attributes, {"init": "copy"}, inverse=True)
    rewriter.resize(edit)
    told_guessed = [
        f"{axes[leaf].name}: the parts of units {some(guessed[leaf])} are in no one ratio, so "
        "their moments, other than of gradients, are estimates (STATE-18)"
        for leaf in maps
        if guessed[leaf]
    ]
    return [*_told(program, edit, axes, maps), *told_guessed]


def _axes(groups: AxisGroups) -> Axes:
    """The axes that may change."""
    found = {}
    for leaf, group in groups.groups.items():
        if group.reason is None and group.state and leaf.size > 1:
            try:
                found[leaf] = Units(groups, leaf)
            except RefusalError:
                continue
    return found


def _useless(axes: Axes, known: Known) -> dict[Atom, list[int]]:
    """The units that contribute nothing, and then do not, but for those that stay (COMPACT-1).

    The numbers of those that were found are taken for zero, so that others are found by them; the
    last axes come first, since most units die of not being read.
    """
    axes = {leaf: units for leaf, units in axes.items() if _can_lose(units)}
    gone: dict[Atom, list[int]] = {leaf: [] for leaf in axes}
    while True:
        before = sum(map(len, gone.values()))
        for leaf, units in reversed(axes.items()):
            found = np.flatnonzero(units.dead(known)).tolist()
            new = [unit for unit in found if unit not in gone[leaf]]
            most = leaf.size - units.fewest - len(gone[leaf])
            new = new[max(0, len(new) - most) :]
            if new:
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
    program: Program, edit: Resize, axes: Axes, maps: Mapping[Atom, AxisMap]
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
