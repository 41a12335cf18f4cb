"""Forms: an axis as a sum of products of atoms.

`flatten`, groups and heads multiply, `cat`, `split` and slices add:

    (h d)      h heads of width d, the major factor first: unit i of h and j of d is unit i * d + j
    (a + b)    a units, then b units
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import final


@final
@dataclass(frozen=True, eq=False, slots=True)
class Atom:
    """An axis, or a factor or part of one, that changes as a whole.

    Identity is what tells atoms apart: one atom in two places is the same axis.
    """

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name}:{self.size}"


@final
@dataclass(frozen=True, slots=True)
class Product:
    """Factors, the major one first."""

    factors: tuple[Form, ...]

    @property
    def size(self) -> int:
        """How many units it has."""
        return prod(factor.size for factor in self.factors)

    def __str__(self) -> str:
        return f"({' '.join(map(str, self.factors))})"


@final
@dataclass(frozen=True, slots=True)
class Sum:
    """Parts, one after the other."""

    terms: tuple[Form, ...]

    @property
    def size(self) -> int:
        """How many units it has."""
        return sum(term.size for term in self.terms)

    def __str__(self) -> str:
        return f"({' + '.join(map(str, self.terms))})"


Form = Atom | Product | Sum
Axes = tuple[Form, ...]  # one form for each dimension of a tensor


def multiply(factors: Iterable[Form]) -> Form:
    """The product of some factors; a single one is itself."""
    found = tuple(factors)
    return found[0] if len(found) == 1 else Product(found)


def add(terms: Iterable[Form]) -> Form:
    """The sum of some parts; a single one is itself."""
    found = tuple(terms)
    return found[0] if len(found) == 1 else Sum(found)


def fit(form: Form, size: int) -> Form:
    """The form of an axis that is broadcast to `form`: itself, or a fixed one of size 1.

    Raises:
        ValueError: The sizes do not fit.
    """
    if form.size == size:
        return form
    if size != 1:
        raise ValueError(f"an axis of size {size} cannot be broadcast to {form}")
    return Atom("Broadcast", 1)


def parts_of(form: Form) -> tuple[Form, ...]:
    """The factors of a product, the terms of a sum, or nothing for an atom."""
    match form:
        case Product(factors=factors):
            return factors
        case Sum(terms=terms):
            return terms
        case _:
            return ()


def rename(form: Form, atoms: Mapping[Atom, Atom]) -> Form:
    """The same form with other atoms."""
    if isinstance(form, Atom):
        return atoms[form]
    parts = tuple(rename(part, atoms) for part in parts_of(form))
    return Product(parts) if isinstance(form, Product) else Sum(parts)


def atoms_in(form: Form) -> Iterator[Atom]:
    """Yields the atoms of a form from left to right, with repetitions."""
    if isinstance(form, Atom):
        yield form
    for part in parts_of(form):
        yield from atoms_in(part)


def factors_in(form: Form) -> Iterator[Atom]:
    """Yields the atoms of a form that stand inside a product."""
    if isinstance(form, Product):
        yield from atoms_in(form)
    elif isinstance(form, Sum):
        for term in form.terms:
            yield from factors_in(term)
