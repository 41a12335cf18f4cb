"""Which units of an axis do nothing: provably, or on some data.

A unit reaches the rest of a model only where units are summed: in the columns of a Linear, in
`q @ k`, in a plain sum. It is dead if in each of these places something is zero that it is
multiplied with: stored numbers, or a value that is zero whatever the input (FACT-4). A recurrent
layer is many places in one call, since all its layers and directions share one axis.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import torch

from morphir.axes import AxisGroups
from morphir.axes.polarity import Spot
from morphir.errors import RefusalError
from morphir.ir import (
    Added,
    AxisChange,
    AxisMap,
    Mapped,
    Multiplied,
    Node,
    Program,
    TensorChange,
    Value,
)
from morphir.ops import DEFAULT_TABLE
from morphir.ops.box import propagate_boxes
from morphir.ops.box_rules import Box
from morphir.ops.forms import Atom, Form
from morphir.passes.hidden import fewest_units
from morphir.passes.labels import Labels, labels_of

Flags = npt.NDArray[np.bool_]
Bounds = Mapping[str, tuple[float, float]]


@final
class Known:
    """What is known about the numbers of a program, some of which may be taken for zero."""

    def __init__(self, program: Program, inputs: Bounds | None = None) -> None:
        """Knows the stored numbers, and what follows from them.

        Args:
            program: The program.
            inputs: Bounds of inputs by name; the others may be anything.
        """
        self._program, self._inputs = program, inputs
        entries = program.state.items()
        self.state = {name: e.tensor.detach() for name, e in entries if e.tensor is not None}
        self._stored, self._cleared = dict(self.state), dict[tuple[str, int], set[int]]()
        self._boxes: dict[Value, Box] | None = None

    def box(self, tensor: str | Value) -> Box | None:
        """Between which numbers the elements of a tensor lie."""
        if isinstance(tensor, str):
            found = self.state.get(tensor)
            return None if found is None else Box(found, found)
        if self._boxes is None:
            self._boxes = {}
            if len(self.state) == len(self._program.state):
                for graph in self._program.graphs.values():
                    self._boxes |= propagate_boxes(graph, self.state, DEFAULT_TABLE, self._inputs)
        return self._boxes.get(tensor)

    def clear(self, name: str, axis: int, positions: Sequence[int]) -> None:
        """Takes stored numbers for zero: those of units that do nothing."""
        index = torch.tensor([*positions], dtype=torch.int64, device=self.state[name].device)
        self.state[name] = self.state[name].index_fill(axis, index, 0)
        self._cleared.setdefault((name, axis), set()).update(positions)

    def stored(self, name: str, axis: int) -> torch.Tensor:
        """The numbers that are stored, where none is taken for zero because of another axis."""
        found = self._stored[name]
        for other in range(found.dim()):
            gone = self._cleared.get((name, other))
            if gone and other != axis:
                left = [each for each in range(found.shape[other]) if each not in gone]
                found = found.index_select(other, torch.tensor(left, device=found.device))
        return found

    def forget(self) -> None:
        """Lets boxes follow from the numbers as they are taken to be now."""
        self._boxes = None


@final
@dataclass(frozen=True, eq=False)
class Term:
    """A tensor that is multiplied with others wherever units are summed.

    Attributes:
        tensor: The name of a state entry, or a value.
        axis: The dimension of the units.
        units: The unit at each of its positions.
        is_split: Whether it is the one whose copies would have to sum to the old number.
    """

    tensor: str | Value
    axis: int
    units: Labels
    is_split: bool

    def over(self, flags: torch.Tensor, size: int) -> Flags | None:
        """For each unit whether a flag of it is set; None if the tensor is not shaped like it."""
        if flags.dim() <= self.axis or flags.shape[self.axis] != len(self.units):
            return None
        others = [each for each in range(flags.dim()) if each != self.axis]
        found = np.zeros(size, bool)
        along = (flags.any(dim=others) if others else flags).numpy(force=True)
        np.logical_or.at(found, self.units[self.units >= 0], along[self.units >= 0])
        return found


@final
@dataclass(frozen=True, eq=False)
class Total:
    """A place where units are summed.

    Attributes:
        node: The call.
        terms: What is multiplied there, unit by unit, as far as the call shows.
        factors: The same in sets: where all of one set is zero, so is what the unit contributes. A
            Linear has two sets of one; the weights that read one state are a set together.
        is_hidden: Whether there is more: a recurrent layer multiplies with a state of its own.
    """

    node: Node
    terms: tuple[Term, ...]
    factors: tuple[tuple[Term, ...], ...]
    is_hidden: bool


@final
class Units:
    """The units of one axis of a program."""

    def __init__(self, groups: AxisGroups, leaf: Atom) -> None:
        """Looks at an axis.

        Args:
            groups: The axes of a program.
            leaf: The axis; it stands in the state.

        Raises:
            RefusalError: No polarities of its places agree.
        """
        self.leaf = leaf
        self._groups = groups
        self._polarities = groups.polarities(leaf)

    def check(self) -> None:
        """Refuses an axis that can't lose a unit.

        Raises:
            RefusalError: It can't.
        """
        self._groups.resize({self.leaf: without(self.leaf.size, [self.leaf.size - 1])})

    @property
    def name(self) -> str:
        """The state entry that has the units first."""
        return str(self._groups.groups[self.leaf].state[0].tensor)

    @property
    def is_mixed(self) -> bool:
        """Whether a call computes something of all units together, such as their mean."""
        return any(reading.role.maps != "any" for reading in self._polarities.readings)

    @cached_property
    def fewest(self) -> int:
        """How many units have to stay."""
        hidden = [fewest_units(total.node) for total in self.totals if total.is_hidden]
        return min(self.leaf.size, max(hidden, default=1))

    @cached_property
    def totals(self) -> tuple[Total, ...]:
        """Where the units are summed."""
        return tuple(self._totals())

    def _totals(self) -> Iterator[Total]:
        polarities = self._polarities
        for reading in polarities.readings:
            inside, splits = [], []
            for site, places in zip(reading.sites, reading.places, strict=True):
                is_split = polarities.of(places[0]) == "split"
                if site.output:
                    splits.append(is_split)
                else:
                    inside.append(self._term(places, is_split))
            # What a way splits is zero in a fresh unit, and the call is what it was without it.
            ways = [zip(inside, way, strict=False) for way in reading.role.ways]
            factors = [tuple(term for term, of in way if of == "split") for way in ways]
            if any(term.is_split for term in inside) and not any(splits) and all(factors):
                is_hidden = len(factors) == 1 and len(factors[0]) < len(reading.sites)
                terms = [term for term in inside if term.is_split or not is_hidden]
                yield Total(reading.step.node, tuple(terms), tuple(factors), is_hidden)

    @cached_property
    def _forms(self) -> dict[tuple[str | Value, int], Form]:
        group = self._groups.groups[self.leaf]
        return {(p.tensor, p.axis): p.form for p in (*group.state, *group.values)}

    @cached_property
    def stored(self) -> list[Term]:
        """The stored numbers of each unit."""
        polarities = self._polarities
        found = dict.fromkeys(places for r in polarities.readings for places in r.places)
        return [
            self._term(places, polarities.of(places[0]) == "split")
            for places in found
            if isinstance(places[0].tensor, str)
        ]

    def _term(self, places: tuple[Spot, ...], is_split: bool) -> Term:
        """An axis of a tensor with the units in all places that one reading has there."""
        tensor, axis, _ = places[0]
        form = self._forms[tensor, axis]
        each = [labels_of(form, self.leaf, spot.place) for spot in places]
        return Term(tensor, axis, np.maximum.reduce(each), is_split)

    def dead(self, known: Known) -> Flags:
        """Which units contribute nothing, whatever the input."""
        used = np.zeros(self.leaf.size, bool)
        for total in self.totals:
            used |= self.alive(total, known)
        return ~used

    def alive(self, total: Total, known: Known) -> Flags:
        """Which units may contribute something to a sum."""
        is_hidden = any(each.is_hidden for each in self.totals)
        found = np.ones(self.leaf.size, bool)
        for factor in total.factors:
            if not is_hidden or all(map(_is_stored_split, factor)):
                found &= np.any([self._nonzero(term, known) for term in factor], axis=0)
        return found

    def _nonzero(self, term: Term, known: Known) -> Flags:
        """For each unit whether anything of it in a tensor may differ from zero."""
        box = known.box(term.tensor)
        found = None if box is None else term.over(~box.is_zero, self.leaf.size)
        return np.ones(self.leaf.size, bool) if found is None else found

    def unread(self, known: Known) -> Flags:
        """Of which units all stored outgoing numbers are zero."""
        read = np.zeros(self.leaf.size, bool)
        for term in self.stored:
            if term.is_split and isinstance(term.tensor, str):
                found = term.over(known.stored(term.tensor, term.axis) != 0, self.leaf.size)
                read |= np.ones(self.leaf.size, bool) if found is None else found
        return ~read

    def clear(self, known: Known, units: Sequence[int]) -> None:
        """Takes all stored numbers of units that do nothing for zero."""
        for term in self.stored:
            assert isinstance(term.tensor, str)
            known.clear(term.tensor, term.axis, np.flatnonzero(np.isin(term.units, units)).tolist())

    def claims(
        self, tensors: Mapping[str, TensorChange], axis_map: AxisMap, known: Known
    ) -> dict[str, TensorChange]:
        """How tensors change that lose units that do nothing.

        What is split has to be 0 where a unit is left out. Where it is not, as the unit is 0
        itself, nothing is said about it: it is said to be copied.

        Args:
            tensors: As the planner has it.
            axis_map: Which units stay.
            known: The numbers of those.
        """
        gone = sorted({*range(axis_map.size)} - {*axis_map.source})
        if self.unread(known)[gone].all():
            return dict(tensors)
        return {name: _copied(change, axis_map) for name, change in tensors.items()}


@final
class Candidates:
    """The axes of a program, and the units of each, found when asked for."""

    def __init__(self, program: Program) -> None:
        """Finds the axes.

        Args:
            program: The program; its numbers are not looked at.
        """
        self.groups = AxisGroups(program)
        self._found: dict[tuple[Atom, bool], Units | RefusalError] = {}

    def units(self, leaf: Atom, *, go: bool = True) -> Units | RefusalError:
        """The units of an axis, or why it has none, or can't lose one if some are to `go`."""
        if (leaf, go) not in self._found:
            try:
                self._found[leaf, go] = found = Units(self.groups, leaf)
                if go:
                    found.check()
            except RefusalError as refusal:
                self._found[leaf, go] = refusal
        return self._found[leaf, go]


def _is_stored_split(term: Term) -> bool:
    return term.is_split and isinstance(term.tensor, str)


def without(size: int, units: Sequence[int]) -> AxisMap:
    """The map that removes some units."""
    gone = {*units}
    return AxisMap.copies(size, [unit for unit in range(size) if unit not in gone])


def some(units: Sequence[int]) -> str:
    """The first of some units, for a report."""
    shown = ", ".join(map(str, units[:8]))
    return f"{shown}, ..." if len(units) > 8 else shown


def _copied(change: TensorChange, axis_map: AxisMap) -> TensorChange:
    """The change of a tensor all of whose places of a map are copied."""

    def flipped(each: AxisChange) -> AxisChange:
        match each:
            case Mapped(size=size, map=own) if own is axis_map:
                return Mapped(size, own, "copy")
            case Multiplied(factors=factors):
                return Multiplied(tuple(map(flipped, factors)))
            case Added(terms=terms):
                return Added(tuple(map(flipped, terms)))
            case _:
                return each

    return tuple(map(flipped, change))
