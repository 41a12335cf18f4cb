"""Which units of an axis do nothing: provably, or on some data.

A unit contributes through the tensors that split it, its outgoing weights. It is dead if, wherever
one of them is read, the weights of the unit are zero or what they are multiplied with is zero
whatever the input (FACT-4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import (
    Added,
    AxisChange,
    AxisMap,
    Graph,
    Mapped,
    Multiplied,
    Program,
    TensorChange,
    Value,
    is_of_train_mode,
)
from morphir.ops import DEFAULT_TABLE
from morphir.ops.box import Box, propagate_boxes
from morphir.ops.forms import Atom, Form, Product, parts_of
from morphir.ops.replay import Unreplayable, replay
from morphir.tensors import tensors_in

Labels = npt.NDArray[np.int64]  # the unit at each position of an axis, -1 for none
Flags = npt.NDArray[np.bool_]
Data = Mapping[str, tuple[tuple[Any, ...], dict[str, Any]]]  # entry point to arguments


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """One place where the outgoing weights of an axis are read.

    Attributes:
        graph: The entry point.
        tensor: The weights: a state entry.
        axis: Which of its dimensions.
        units: The unit at each position of that dimension.
        partner: What they are multiplied with, None where they are not.
    """

    graph: Graph
    tensor: str
    axis: int
    units: Labels
    partner: tuple[Value, int, Labels] | None


@final
class Units:
    """The units of one axis of a program."""

    def __init__(
        self,
        program: Program,
        groups: AxisGroups,
        leaf: Atom,
        boxes: Mapping[str, Mapping[Value, Box]],
    ) -> None:
        """Looks at an axis.

        Args:
            program: The program.
            groups: Its axes.
            leaf: The axis.
            boxes: Entry point to what is known about elements.

        Raises:
            RefusalError: The axis can't lose a unit.
        """
        self.leaf = leaf
        self._program, self._groups, self._boxes = program, groups, boxes
        self._probe = without(leaf.size, [leaf.size - 1])
        self.tensors, _ = groups.resize({leaf: self._probe})

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """Where the outgoing weights are read."""
        return tuple(self._readings())

    def _readings(self) -> Iterator[Reading]:
        found = {}
        for place in self._groups.groups[self.leaf].values:
            found[place.tensor] = place.axis, _labels_of_form(place.form, self.leaf)
        for name, axis, units in self.outgoing:
            for graph in self._program.graphs.values():
                for node in graph.nodes:
                    if not any(v.origin == "state" and v.name == name for v in node.operands):
                        continue
                    partners = [v for v in node.operands if v in found and v.origin != "state"]
                    reached = any(v in found for v in node.results)
                    partner = (partners[0], *found[partners[0]]) if partners else None
                    yield Reading(graph, name, axis, units, None if reached else partner)

    @cached_property
    def outgoing(self) -> list[tuple[str, int, Labels]]:
        """The tensors that are split, the dimension, and the unit at each of its positions."""
        return [
            (name, axis, units)
            for name, change in self.tensors.items()
            for axis, each in enumerate(change)
            if (units := _labels_of_change(each, self._probe)).max(initial=-1) >= 0
        ]

    @cached_property
    def dead(self) -> Flags:
        """Which units contribute nothing, whatever the input."""
        used = np.zeros(self.leaf.size, bool)
        for reading in self.readings:
            alive = ~self._is_zero(reading.tensor, reading.axis, reading.units)
            used |= alive & ~self._is_silent(reading)
        return ~used

    def loaded(self, units: Sequence[int]) -> set[str]:
        """The tensors whose weights of some of these units are not zero."""
        return {
            name
            for name, axis, labels in self.outgoing
            if not self._is_zero(name, axis, labels)[[*units]].all()
        }

    def _is_zero(self, name: str, axis: int, units: Labels) -> Flags:
        tensor = self._program.state[name].tensor
        if tensor is None:
            return np.zeros(self.leaf.size, bool)
        others = [each for each in range(tensor.dim()) if each != axis]
        nonzero = (tensor != 0).any(dim=others) if others else tensor != 0
        return ~_by_unit(nonzero, units, self.leaf.size)

    def _is_silent(self, reading: Reading) -> Flags:
        box = None
        if reading.partner is not None:
            box = self._boxes[reading.graph.name].get(reading.partner[0])
        if box is None or reading.partner is None:
            return np.zeros(self.leaf.size, bool)
        _, axis, units = reading.partner
        others = [each for each in range(box.low.dim()) if each != axis]
        awake = ~(box.is_zero.all(dim=others) if others else box.is_zero)
        return ~_by_unit(awake, units, self.leaf.size)

    def activity(self, data: Data) -> npt.NDArray[np.float64]:
        """The ReDo score of each unit: its mean size, relative to that of all (Sokar et al. 2023).

        Where its output is read in several places it is the largest.

        Raises:
            RefusalError: The data do not fit, or nothing that is computed on them is read.
        """
        scores = np.zeros(self.leaf.size)
        seen = False
        for name, graph in self._program.graphs.items():
            if is_of_train_mode(name) or name not in data:
                continue
            values = _replayed(graph, self._program, data[name])
            for reading in self.readings:
                if reading.graph is not graph or reading.partner is None:
                    continue
                value, axis, units = reading.partner
                tensor = values[value].detach().double().abs()
                others = [each for each in range(tensor.dim()) if each != axis]
                mean = (tensor.mean(dim=others) if others else tensor).numpy()
                total = np.bincount(units[units >= 0], mean[units >= 0], minlength=self.leaf.size)
                each_unit = total / np.bincount(units[units >= 0], minlength=self.leaf.size)
                whole = each_unit.mean()
                scores = np.maximum(scores, each_unit / whole if whole > 0 else each_unit)
                seen = True
        if not seen:
            first = self.outgoing[0][0] if self.outgoing else "the model"
            raise RefusalError(
                "no activations of these units can be measured: nothing that the data reach is "
                f"multiplied with {first!r}",
                nodes=[first],
                suggestions=["data= for an entry point that reads them", "no data"],
            )
        return scores


def without(size: int, units: Sequence[int]) -> AxisMap:
    """The map that removes some units."""
    gone = {*units}
    return AxisMap.copies(size, [unit for unit in range(size) if unit not in gone])


def unconstrained(change: TensorChange, axis_map: AxisMap) -> TensorChange:
    """The change of a tensor whose weights of the units that are removed need not be zero."""

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


def _by_unit(flags: torch.Tensor, units: Labels, size: int) -> Flags:
    """Whether a flag is set at any position of each unit."""
    found = np.zeros(size, bool)
    np.logical_or.at(found, units[units >= 0], flags.numpy()[units >= 0])
    return found


def _labels_of_change(change: AxisChange, probe: AxisMap) -> Labels:
    match change:
        case Mapped(size=size, map=own, polarity=polarity):
            is_it = own is probe and polarity == "split"
            return np.arange(size) if is_it else np.full(size, -1)
        case Multiplied(factors=factors):
            return _multiplied([_labels_of_change(factor, probe) for factor in factors])
        case Added(terms=terms):
            return np.concatenate([_labels_of_change(term, probe) for term in terms])


def _labels_of_form(form: Form, leaf: Atom) -> Labels:
    if isinstance(form, Atom):
        return np.arange(form.size) if form is leaf else np.full(form.size, -1)
    each = [_labels_of_form(part, leaf) for part in parts_of(form)]
    return _multiplied(each) if isinstance(form, Product) else np.concatenate(each)


def _multiplied(factors: Sequence[Labels]) -> Labels:
    found = np.full(1, -1)
    for factor in factors:
        found = np.maximum(found[:, None], factor[None, :]).ravel()
    return found


def boxes_of(
    program: Program, inputs: Mapping[str, tuple[float, float]] | None
) -> dict[str, dict[Value, Box]]:
    """What is known about the elements of every entry point's values (FACT-4)."""
    state = {name: entry.tensor for name, entry in program.state.items()}
    if any(tensor is None for tensor in state.values()):
        return {name: {} for name in program.graphs}
    held = {name: tensor for name, tensor in state.items() if tensor is not None}
    return {
        name: propagate_boxes(graph, held, DEFAULT_TABLE, inputs)
        for name, graph in program.graphs.items()
    }


def _replayed(
    graph: Graph, program: Program, arguments: tuple[tuple[Any, ...], dict[str, Any]]
) -> Mapping[Value, torch.Tensor]:
    given = [tensor for _, tensor in tensors_in(arguments)]
    if len(given) != len(graph.inputs):
        expected = ", ".join(value.name for value in graph.inputs)
        raise RefusalError(
            f"data has {len(given)} tensors for {graph.name!r}, which takes {expected}",
            suggestions=["data= in the form of example_inputs="],
        )
    state = {name: e.tensor for name, e in program.state.items() if e.tensor is not None}
    try:
        with torch.no_grad():
            return replay(graph, state, given).values
    except (Unreplayable, RuntimeError, ValueError, TypeError) as error:
        raise RefusalError(
            f"{graph.name!r} can't be run on the data: {error}",
            suggestions=["data= in the form of example_inputs="],
        ) from error
