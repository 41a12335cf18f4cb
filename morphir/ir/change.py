"""How the axes of a tensor change: the axis maps of the atoms that each axis is made of.

It is what a pass leaves behind: small, since a map is named once for every axis that it changes,
and enough to derive the rest: parameters, optimizer state, certificate, lineage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import prod
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.ir.axis_map import AxisMap, Polarity
from morphir.ir.relation import FREE, Relation

Shares = npt.NDArray[np.float64]


@final
@dataclass(frozen=True)
class Mapped:
    """An atom, changed by a map in one polarity, or kept.

    Attributes:
        size: How many units it had.
        map: How they change; None where they do not.
        polarity: Whether the map copies or splits them.
    """

    size: int
    map: AxisMap | None = None
    polarity: Polarity = "copy"

    @property
    def new_size(self) -> int:
        """How many units it has afterwards."""
        return self.size if self.map is None else len(self.map.source)

    @cached_property
    def relation(self) -> Relation:
        """What this says about old and new."""
        if self.map is None:
            return Relation.identity(self.size)
        make = Relation.copied if self.polarity == "copy" else Relation.split
        return make(self.map)

    def shares(self, polarity: Polarity) -> Shares:
        """For each new position its share if the atom has this polarity; 1 otherwise."""
        if self.map is None or self.polarity != polarity:
            return np.ones(self.new_size)
        return np.array([float(share) for share in self.map.share])


@final
@dataclass(frozen=True)
class Multiplied:
    """A product of changes, the major factor first."""

    factors: tuple[AxisChange, ...]

    @property
    def size(self) -> int:
        """How many units it had."""
        return prod(factor.size for factor in self.factors)

    @property
    def new_size(self) -> int:
        """How many units it has afterwards."""
        return prod(factor.new_size for factor in self.factors)

    @cached_property
    def relation(self) -> Relation:
        """What this says about old and new (REL-2)."""
        return Relation.product([factor.relation for factor in self.factors])

    def shares(self, polarity: Polarity) -> Shares:
        """For each new position the product of the shares of its factors."""
        found = np.ones(1)
        for factor in self.factors:
            found = np.multiply.outer(found, factor.shares(polarity)).ravel()
        return found


@final
@dataclass(frozen=True)
class Added:
    """Changes of parts, one after the other."""

    terms: tuple[AxisChange, ...]

    @property
    def size(self) -> int:
        """How many units it had."""
        return sum(term.size for term in self.terms)

    @property
    def new_size(self) -> int:
        """How many units it has afterwards."""
        return sum(term.new_size for term in self.terms)

    @cached_property
    def relation(self) -> Relation:
        """What this says about old and new (REL-2)."""
        return Relation.sum([term.relation for term in self.terms])

    def shares(self, polarity: Polarity) -> Shares:
        """For each new position its share in its term."""
        return np.concatenate([term.shares(polarity) for term in self.terms])


AxisChange = Mapped | Multiplied | Added
TensorChange = tuple[AxisChange, ...]  # one for each dimension


def maps_of(tensors: Mapping[str, TensorChange]) -> set[AxisMap]:
    """All maps by which tensors change."""
    return {m for change in tensors.values() for axis in change for m in maps_in(axis)}


def maps_in(change: AxisChange) -> Iterator[AxisMap]:
    """Yields the maps of a change from left to right, with repetitions."""
    match change:
        case Mapped(map=axis_map):
            if axis_map is not None:
                yield axis_map
        case Multiplied(factors=parts) | Added(terms=parts):
            for part in parts:
                yield from maps_in(part)


@final
@dataclass(frozen=True)
class AttributeChange:
    """An attribute of a module that follows the tensors: a number, or a tuple of numbers.

    Attributes:
        module: Qualified name of the module.
        name: Name of the attribute.
        old: What it is.
        new: What it becomes.
    """

    module: str
    name: str
    old: int | tuple[int, ...]
    new: int | tuple[int, ...]


@final
@dataclass(frozen=True)
class Extension:
    """An axis of an input or an output that gets longer at its end, in both modes.

    Attributes:
        entry_point: Whose input or output it is.
        path: Its path among the arguments, or in the returned object.
        axis: Which of its dimensions.
        size: How many positions that had; they stay what and where they are.
        new_size: How many it has. Behind the old ones may be anything that is finite.
    """

    entry_point: str
    path: str
    axis: int
    size: int
    new_size: int

    @property
    def relation(self) -> Relation:
        """What this says about old and new."""
        take = [*range(self.size), *[FREE] * (self.new_size - self.size)]
        return Relation.of(self.size, take, range(self.size))


@final
@dataclass(frozen=True)
class Fold:
    """Units that are constants, whatever the input, and that a bias carries from now on.

    Attributes:
        weight: State entry of a linear map or convolution that reads the units.
        bias: State entry of its bias.
        constants: For each feature that it reads the number to fold, 0 where there is none.
    """

    weight: str
    bias: str
    constants: tuple[float, ...]


@final
@dataclass(frozen=True, eq=False)
class Resize:
    """Axes that change size together.

    Attributes:
        at: Qualified name of the module that was asked for, or the name of an input.
        law: The law by which the function is kept.
        tensors: State entry to how its axes change; only entries that do.
        attributes: What follows.
        spec: JSON-ready description of how free positions are filled.
        given: State entry to the numbers of its free positions, where the pass computes them.
        box: Bounds of inputs by name, if the function is kept for inputs within them only.
        data: Entry point to the arguments on which the change of the function is measured, if it is
            not kept.
        inverse: Whether `tensors` says how to get from the new axes to the old ones: what is undone
            is a widening, whose copies are merged and whose fresh units go.
        folds: What biases take over first. They are among `tensors`, if only to say that no axis of
            theirs changes.
        inputs: The inputs that get longer.
        outputs: The outputs that do.
    """

    at: str
    law: str
    tensors: Mapping[str, TensorChange]
    attributes: Sequence[AttributeChange]
    spec: Mapping[str, Any]
    given: Mapping[str, torch.Tensor] = field(default_factory=dict)
    box: Mapping[str, tuple[float, float]] | None = None
    data: Mapping[str, Any] | None = None
    inverse: bool = False
    folds: Sequence[Fold] = ()
    inputs: Sequence[Extension] = ()
    outputs: Sequence[Extension] = ()

    def old_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a state entry before."""
        return tuple(a.new_size if self.inverse else a.size for a in self.tensors[name])

    def new_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a state entry afterwards."""
        return tuple(a.size if self.inverse else a.new_size for a in self.tensors[name])


def tensors_to_json(tensors: Mapping[str, TensorChange]) -> dict[str, Any]:
    """Changes as plain data: every map once, and for each axis which of them stand where."""
    maps = [
        *dict.fromkeys(m for change in tensors.values() for axis in change for m in maps_in(axis))
    ]
    number = {axis_map: index for index, axis_map in enumerate(maps)}

    def plain(axis: AxisChange) -> Any:
        match axis:
            case Multiplied(factors=factors):
                return {"product": [*map(plain, factors)]}
            case Added(terms=terms):
                return {"sum": [*map(plain, terms)]}
            case Mapped(size=size, map=axis_map, polarity=polarity):
                return size if axis_map is None else {polarity: number[axis_map]}

    return {
        "maps": [
            {"size": m.size, "source": [*m.source], "share": [*map(str, m.share)]} for m in maps
        ],
        "tensors": {name: [*map(plain, change)] for name, change in tensors.items()},
    }


def tensors_from_json(data: Mapping[str, Any]) -> dict[str, TensorChange]:
    """Reads what `tensors_to_json` wrote.

    Raises:
        KeyError, TypeError, ValueError: It is something else.
    """
    maps = [
        AxisMap(int(m["size"]), tuple(map(int, m["source"])), tuple(map(Fraction, m["share"])))
        for m in data["maps"]
    ]

    def change(plain: Any) -> AxisChange:
        if not isinstance(plain, dict):
            return Mapped(int(plain))
        ((kind, what),) = plain.items()
        if kind in ("product", "sum"):
            return (Multiplied if kind == "product" else Added)(tuple(map(change, what)))
        if kind not in ("copy", "split"):
            raise ValueError(f"an axis is changed by {kind!r}, expected copy or split")
        return Mapped(maps[what].size, maps[what], kind)

    return {name: tuple(map(change, axes)) for name, axes in data["tensors"].items()}
