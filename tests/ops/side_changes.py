"""Calls of an op with their layouts, and the same calls on operands that are changed."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from morphir.ir import AxisMap, Relation
from morphir.ops import Atom, Layout, Op
from morphir.ops.axes import Site
from morphir.ops.check import draw_map, draw_shares, tied_sizes
from morphir.ops.lift import new_arguments
from morphir.ops.paths import put_path
from morphir.ops.verdict import results_of
from tests.ops.side_calls import Arguments, Pair, lift, operands_of, related

At = Mapping[Site, Relation]  # the relation of an atom where it stands
Whole = Mapping[str, Relation]  # that of every axis of a form
Found = tuple[tuple[Relation, ...], ...]


@dataclass(frozen=True)
class Try:
    """Two calls, and what their results might be taken for."""

    pair: Pair
    expected: tuple[Found, ...]


@dataclass(frozen=True)
class Call:
    """One sample of an op with its layout."""

    op: Op
    arguments: Arguments
    layout: Layout

    @classmethod
    def of(cls, op: Op, arguments: Arguments) -> "Call":
        """The call with its layout."""
        complete = op.complete(arguments)
        return cls(op, complete, op.layout(complete, results_of(op, complete)))

    def inside(self, atom: Atom) -> list[Site]:
        """Where an atom stands in the operands."""
        return [site for site in self.layout.sites[atom] if not site.output]

    def relations(self, at: At, whole: Whole, *, output: bool) -> Found:
        """The relations of all axes of the operands or the outputs."""
        tensors = self.layout.outputs if output else self.layout.operands
        return tuple(
            tuple(
                whole.get(str(form)) or lift(form, partial(_next, at, _sites(output, k, axis)))
                for axis, form in enumerate(axes)
            )
            for k, axes in enumerate(tensors)
        )

    def changed(
        self,
        at: At,
        expected: Sequence[At] = ({},),
        *,
        whole: Whole | None = None,
        arguments: Arguments | None = None,
    ) -> Iterator[Try]:
        """The call on operands that are related so, if torch runs it."""
        operands = self.relations(at, whole or {}, output=False)
        try:
            new = dict(self.sized(at) if arguments is None else arguments)
        except ValueError:  # two numbers in one place
            return
        for number, (path, tensor) in enumerate(operands_of(self.op, self.arguments)):
            value = related(tensor, operands[number], seed=number)
            if value is None:
                return
            new = put_path(new, path, value)
        pair = Pair(self.op, self.arguments, new, operands)
        if _runs(pair):
            found = [self.relations(each, whole or {}, output=True) for each in expected]
            same = [self.relations({}, {}, output=True)] if whole else []
            yield Try(pair, tuple(dict.fromkeys([*found, *same])))

    def sized(self, at: At) -> Arguments:
        """The arguments with the numbers that follow what is changed."""
        maps = {
            atom: AxisMap.copies(atom.size, [0] * at[site].new_size)
            for atom, sites in self.layout.sites.items()
            for site in sites[:1]
            if site in at
        }
        return new_arguments(self.arguments, replace(self.layout, ties=()), maps)


def _sites(output: bool, tensor: int, axis: int) -> Iterator[Site]:
    position = 0
    while True:
        yield Site(output, tensor, axis, position)
        position += 1


def _next(at: At, sites: Iterator[Site], atom: Atom) -> Relation:
    return at.get(next(sites)) or Relation.identity(atom.size)


def _runs(pair: Pair) -> bool:
    try:
        pair.results()
    except (RuntimeError, ValueError, IndexError, TypeError, AssertionError):
        return False
    return True


# -- relations ------------------------------------------------------------------------------------


def relation_of(axis_map: AxisMap, polarity: str) -> Relation:
    """Copied or split."""
    return (Relation.copied if polarity == "copy" else Relation.split)(axis_map)


def in_way(sites: Sequence[Site], way: Sequence[str], axis_map: AxisMap) -> dict[Site, Relation]:
    """The relation of an atom at all of its sites."""
    return {site: relation_of(axis_map, side) for site, side in zip(sites, way, strict=False)}


def source(size: int, new_size: int | None, numbers: random.Random, style: str) -> list[int] | None:
    """Units by position: each at least once, unevenly, or without one of them."""
    everyone = [*range(size)]
    extra = (new_size or size + numbers.randint(1, 2)) - size
    if style == "uneven":
        extra = extra if new_size else numbers.randint(1, size)
        found = everyone + [0] * extra if size > 1 and extra else None
    elif style == "lost":
        gone = numbers.randrange(size)
        rest = [unit for unit in everyone if unit != gone]
        found = rest + [numbers.choice(rest) for _ in range(extra + 1)] if rest else None
        found = rest if rest and not new_size and numbers.random() < 0.5 else found
    elif style == "double":
        found = everyone * ((new_size or 2 * size) // size)
    else:
        found = everyone + [numbers.randrange(size) for _ in range(extra)] if extra else None
    if found is not None:
        numbers.shuffle(found)
    return found


def drawn(
    call: Call, atom: Atom, style: str, numbers: random.Random
) -> tuple[AxisMap, dict[Site, Relation]] | None:
    """A map of an atom, and how the atoms change that are tied to its size."""
    sizes = tied_sizes(call.layout, [atom], numbers)
    found = source(atom.size, sizes.get(atom), numbers, style)
    if found is None:
        return None
    return AxisMap(atom.size, tuple(found), draw_shares(found, numbers)), partners_of(
        call, atom, sizes, numbers
    )


def partners_of(
    call: Call, atom: Atom, sizes: Mapping[Atom, int], numbers: random.Random
) -> dict[Site, Relation]:
    """How the atoms change that are tied to the size of one."""
    at: dict[Site, Relation] = {}
    for other, size in sizes.items():
        role = call.layout.roles[other]
        if other is not atom:
            axis_map = draw_map(other.size, role, role.ways[0], numbers, size)
            at |= in_way(call.layout.sites[other], role.ways[0], axis_map)
    return at
