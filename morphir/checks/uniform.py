"""Axes along which units are equal: constants, and what repeats another axis.

Nobody can tell equal units apart, so of such an axis any relation is true that takes equal ones for
one another. A constant has units of one kind; the heads that `repeat_interleave` makes are of the
kind of the head that they repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from morphir.checks.rejection import Rejection
from morphir.ir.relation import FREE, ZERO, Indices, Relation


@final
@dataclass(frozen=True)
class Uniform:
    """The kinds of the units of an axis, old and new: units of one kind are equal.

    Attributes:
        was: The kind of each old unit. Kinds are numbered as they come.
        now: The kind of each new one.
    """

    was: tuple[int, ...]
    now: tuple[int, ...]

    @classmethod
    def constant(cls, size: int, new_size: int) -> Uniform:
        """An axis along which nothing varies."""
        return cls((0,) * size, (0,) * new_size)

    @classmethod
    def identity(cls, size: int) -> Uniform:
        """An axis that does not change, and of whose units no two need be equal."""
        return cls((*range(size),), (*range(size),))

    @classmethod
    def product(cls, factors: Sequence[Uniform]) -> Uniform:
        """Units of a product are equal if they are in every factor (REL-2)."""
        was, now = (
            np.stack([each.ravel() for each in np.meshgrid(*side, indexing="ij")])
            for side in ([f.was for f in factors], [f.now for f in factors])
        )
        return cls._of(was, now)

    @classmethod
    def sum(cls, terms: Sequence[Uniform]) -> Uniform:
        """Units of a sum are equal if they are in one term, and equal there (REL-2)."""
        was, now = (
            np.concatenate([np.stack([np.full(len(s), k), s]) for k, s in enumerate(side)], axis=1)
            for side in ([t.was for t in terms], [t.now for t in terms])
        )
        return cls._of(was, now)

    @classmethod
    def meeting(cls, operands: Sequence[Uniform]) -> Uniform:
        """What an op computes unit by unit is equal where all of its operands are.

        Raises:
            Rejection: They are not of one size.
        """
        if len({(each.size, each.new_size) for each in operands}) > 1:
            raise Rejection("CERT-11: axes of different sizes meet")
        return cls._of(np.stack([o.was for o in operands]), np.stack([o.now for o in operands]))

    @classmethod
    def _of(cls, was: Indices, now: Indices) -> Uniform:
        """The kinds that columns tell apart."""
        known: dict[tuple[int, ...], int] = {}
        was_now = ([known.setdefault((*c,), len(known)) for c in s.T.tolist()] for s in (was, now))
        return cls(*(tuple(kinds) for kinds in was_now))

    @property
    def size(self) -> int:
        """Length of the old axis."""
        return len(self.was)

    @property
    def new_size(self) -> int:
        """Length of the new axis."""
        return len(self.now)

    @property
    def is_constant(self) -> bool:
        """Whether nothing varies."""
        return len({*self.was, *self.now}) < 2

    def is_told_by(self, other: Uniform) -> bool:
        """Whether units that another one calls equal are equal here."""
        pairs = {*zip(self.was, other.was, strict=True), *zip(self.now, other.now, strict=True)}
        return len(pairs) == len({kind for _, kind in pairs})

    def like(self, relation: Relation) -> Relation:
        """What is true of it beside another relation: the same units, copied.

        Raises:
            Rejection: It takes units for one another that are not equal.
        """
        source = np.where(relation.take == ZERO, FREE, relation.source)
        copied = source >= 0
        if (np.asarray(self.now)[copied] != np.asarray(self.was)[source[copied]]).any():
            raise Rejection("CERT-11: different units meet")
        return Relation.of(self.size, source, np.arange(self.size))

    @property
    def relation(self) -> Relation:
        """One that is true of it: each new unit is a copy of the first old one of its kind."""
        first = {kind: unit for unit, kind in reversed([*enumerate(self.was)])}
        source = [first.get(kind, FREE) for kind in self.now]
        return Relation.of(self.size, source, np.arange(self.size))
