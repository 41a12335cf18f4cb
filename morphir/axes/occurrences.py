"""Which leaf of an axis came from which atom of a layout.

An axis has one normal form, but the layouts that describe it say it in atoms of their own, and
distributing `(a + b) c = a c + b c` repeats what stands behind a sum. What a role asks of an atom
it asks of every place where the atom came to stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import prod
from typing import final

from morphir.axes.atoms import AtomTable
from morphir.ops.forms import Atom, Form, Product, Sum, parts_of

# The atom of a form, counted from the left, and one of the leaf's places inside that atom.
Label = tuple[int, int]


@final
@dataclass(frozen=True, slots=True)
class _Tree:
    """A form in leaves before distribution; `labels` are those of a leaf."""

    kind: type[Atom | Product | Sum]
    size: int
    parts: tuple[_Tree, ...] = ()
    labels: tuple[Label, ...] = ()


def occurrences(table: AtomTable, form: Form, leaf: Atom) -> list[Label]:
    """For each place of a leaf in the normal form of a form: which place of which atom it is.

    Args:
        table: What the atoms are made of.
        form: The form, as a layout has it.
        leaf: The leaf, which is not fixed.
    """
    atoms = count()

    def read(part: Form) -> _Tree:
        if isinstance(part, Atom):
            return _open(table, part, leaf, next(atoms), count())
        return _join(type(part), [read(inner) for inner in parts_of(part)])

    return [label for _, labels in _terms(read(form)) for label in labels]


def _open(table: AtomTable, form: Form, leaf: Atom, atom: int, places: Iterator[int]) -> _Tree:
    opened = table.opened(form)
    if isinstance(opened, Atom):
        labels = ((atom, next(places)),) if opened is leaf else ()
        return _Tree(Atom, opened.size, labels=labels)
    parts = [_open(table, part, leaf, atom, places) for part in parts_of(opened)]
    return _join(type(opened), parts)


def _join(kind: type[Product | Sum], parts: list[_Tree]) -> _Tree:
    """A product or sum none of whose parts is of its kind or says nothing, as in normal forms."""
    flat = [inner for part in parts for inner in (part.parts if part.kind is kind else (part,))]
    said = [part for part in flat if part.size != (kind is Product)] or flat[:1]
    if len(said) == 1:
        return said[0]
    total = prod if kind is Product else sum
    return _Tree(kind, total(part.size for part in said), tuple(said))


def _terms(tree: _Tree) -> list[tuple[int, tuple[Label, ...]]]:
    """The terms of the normal form: the size and the labels of each."""
    if tree.kind is Atom:
        return [(tree.size, tree.labels)]
    if tree.kind is Sum:
        return [term for part in tree.parts for term in _terms(part)]
    major, *minor = tree.parts
    tail = [term for part in minor for term in _terms(part)]
    behind = tuple(label for _, labels in tail for label in labels)
    units = prod(part.size for part in minor)
    found: list[tuple[int, tuple[Label, ...]]] = []
    for size, labels in _terms(major):
        if size == 1:
            found += _terms(_join(Product, minor))
        else:
            found.append((size * units, (*labels, *behind)))
    return found
