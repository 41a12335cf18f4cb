"""How one axis of a new tensor relates to the same axis of the old one.

An `AxisMap` changes one atom, and every atom of an axis is copied or split by itself. A relation is
what this comes to for the whole axis, as two arrays: positions take parts, and parts add up to old
units.

    REL-1  new[j] = part[take[j]] and, for every old unit i, the sum of the parts of i is old[i];
             a FREE position may hold anything, a ZERO one holds 0
    REL-2  the relation of a product is that of its factors in mixed radix, the relation of a sum
             that of its terms, one after the other; both can be undone

A copied axis has one part for each old unit, which several positions may take; on a split axis
every position takes a part of its own. Heads that are copied, of a width that is split, are both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product as combinations
from typing import Final, final

import numpy as np
import numpy.typing as npt

from morphir.ir.axis_map import FRESH, AxisMap

FREE: Final = -1
ZERO: Final = -2
Indices = npt.NDArray[np.int64]


@final
@dataclass(frozen=True, eq=False)
class Relation:
    """The relation of one axis; equal relations say the same.

    Attributes:
        size: Length of the old axis.
        take: For each new position the part that it takes, or `FREE` or `ZERO`.
        group: For each part the old unit that it is a part of. Parts are numbered as they are first
            taken; those that no position takes come last, by old unit.
    """

    size: int
    take: Indices
    group: Indices

    @classmethod
    def of(
        cls, size: int, take: Sequence[int] | Indices, group: Sequence[int] | Indices
    ) -> Relation:
        """A relation, its parts renumbered."""
        taken, groups = np.asarray(take, np.int64), np.asarray(group, np.int64)
        named = np.flatnonzero(taken >= 0)[::-1]  # backwards: what is assigned last is kept
        first = np.full(len(groups), len(taken))
        first[taken[named]] = named
        order = np.lexsort((groups, first))
        rank = np.empty(len(groups), np.int64)
        rank[order] = np.arange(len(order))
        return cls(size, _renumbered(taken, rank), groups[order])

    @classmethod
    def identity(cls, size: int) -> Relation:
        """The relation of an axis that does not change."""
        return cls(size, np.arange(size), np.arange(size))

    @classmethod
    def copied(cls, axis_map: AxisMap) -> Relation:
        """The relation of a copied atom (AXIS-2); fresh positions are free."""
        take = np.asarray(axis_map.source, np.int64)
        return cls.of(axis_map.size, np.where(take == FRESH, FREE, take), np.arange(axis_map.size))

    @classmethod
    def split(cls, axis_map: AxisMap) -> Relation:
        """The relation of a split atom (AXIS-3); fresh positions are zero."""
        source = np.asarray(axis_map.source, np.int64)
        named = source != FRESH
        take = np.full(len(source), ZERO, np.int64)
        take[named] = np.arange(named.sum())
        return cls.of(axis_map.size, take, source[named])

    @classmethod
    def product(cls, factors: Sequence[Relation]) -> Relation:
        """The relation of a product, the major factor first (REL-2)."""
        return reduce(_multiply, factors)

    @classmethod
    def sum(cls, terms: Sequence[Relation]) -> Relation:
        """The relation of a sum (REL-2)."""
        parts = np.cumsum([0, *(len(term.group) for term in terms)])
        units = np.cumsum([0, *(term.size for term in terms)])
        shifted = zip(terms, parts[:-1], units[:-1], strict=True)
        takes, groups = zip(
            *[
                (np.where(t.take >= 0, t.take + part, t.take), t.group + unit)
                for t, part, unit in shifted
            ],
            strict=True,
        )
        return cls.of(int(units[-1]), np.concatenate(takes), np.concatenate(groups))

    @property
    def new_size(self) -> int:
        """Length of the new axis."""
        return len(self.take)

    @cached_property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.new_size == self.size and self == Relation.identity(self.size)

    @cached_property
    def is_copied(self) -> bool:
        """Whether every old unit is one part, so that functions of one unit keep the relation."""
        return not (self.take == ZERO).any() and np.array_equal(
            np.sort(self.group), np.arange(self.size)
        )

    @cached_property
    def source(self) -> Indices:
        """For each new position the old unit that it belongs to, or `FREE` or `ZERO`."""
        return _renumbered(self.take, self.group)

    def factors(self, sizes: Sequence[int], new_sizes: Sequence[int]) -> list[Relation] | None:
        """The relations of the factors, or None where this is no product of these sizes (REL-2).

        Args:
            sizes: Length of each factor of the old axis, the major one first.
            new_sizes: The same for the new axis.
        """
        if len(sizes) == 1:
            return [self] if (self.size, self.new_size) == (sizes[0], new_sizes[0]) else None
        if self.is_identity:
            same = tuple(sizes) == tuple(new_sizes)
            return [*map(Relation.identity, sizes)] if same else None
        rest, new_rest = int(np.prod(sizes[1:])), int(np.prod(new_sizes[1:]))
        if (self.size, self.new_size) != (sizes[0] * rest, new_sizes[0] * new_rest):
            return None
        if sizes[0] == new_sizes[0] == 1:
            tail = self.factors(sizes[1:], new_sizes[1:])
            return None if tail is None else [Relation.identity(1), *tail]
        for major, minor in self._halves(sizes[0], rest, new_rest):
            if Relation.product([major, minor]) == self:
                tail = minor.factors(sizes[1:], new_sizes[1:])
                return None if tail is None else [major, *tail]
        return None

    def _halves(self, major: int, minor: int, new_minor: int) -> list[tuple[Relation, Relation]]:
        """The candidates for two factors: read off a column and a row in which parts are taken."""
        grid = self.take.reshape(-1, new_minor)
        taken = np.argwhere(grid >= 0)
        if not len(taken):
            return []
        row, column = taken[0]
        return [
            *combinations(
                _candidates(grid[:, column], self.group // minor, major),
                _candidates(grid[row], self.group % minor, minor),
            )
        ]

    def terms(self, sizes: Sequence[int], new_sizes: Sequence[int]) -> list[Relation] | None:
        """The relations of the terms, or None where this is no sum of these sizes (REL-2)."""
        units, positions = np.cumsum([0, *sizes]), np.cumsum([0, *new_sizes])
        if (self.size, self.new_size) != (units[-1], positions[-1]):
            return None
        found = []
        for k in range(len(sizes)):
            inside = (self.group >= units[k]) & (self.group < units[k + 1])
            number = np.cumsum(inside) - 1
            take = self.take[positions[k] : positions[k + 1]]
            if not inside[take[take >= 0]].all():
                return None
            group = self.group[inside] - units[k]
            found.append(Relation.of(sizes[k], _renumbered(take, number), group))
        return found if Relation.sum(found) == self else None

    @cached_property
    def _key(self) -> tuple[int, bytes, bytes]:
        return self.size, self.take.tobytes(), self.group.tobytes()

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Relation) and self._key == other._key)

    def __hash__(self) -> int:
        return hash(self._key)


def _renumbered(take: Indices, number: Indices) -> Indices:
    """What is taken under new numbers; free and zero positions stay as they are."""
    found = take.copy()
    found[take >= 0] = number[take[take >= 0]]
    return found


def _multiply(major: Relation, minor: Relation) -> Relation:
    first, second = np.meshgrid(major.take, minor.take, indexing="ij")
    take = first * len(minor.group) + second
    take[(first == FREE) | (second == FREE)] = FREE
    take[(first == ZERO) | (second == ZERO)] = ZERO  # AXIS-9: zero where both are fresh
    group = major.group[:, None] * minor.size + minor.group[None, :]
    return Relation.of(major.size * minor.size, take.ravel(), group.ravel())


def _candidates(take: Indices, unit_of: Indices, size: int) -> list[Relation]:
    """One factor of a product, from how it takes parts where the other factor is held."""
    parts = np.unique(take[take >= 0])
    groups = unit_of[parts]
    renumbered = np.where(take >= 0, np.searchsorted(parts, take), take)
    missing = np.setdiff1d(np.arange(size), groups)
    with_missing = Relation.of(size, renumbered, np.concatenate([groups, missing]))
    return [Relation.of(size, renumbered, groups), *([with_missing] if len(missing) else [])]
