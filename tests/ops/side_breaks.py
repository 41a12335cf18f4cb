"""Calls that keep the side conditions of an op, and calls that break one of them.

A break comes with what the results would be if the condition did not matter: that is what the
checker would have to say if it let the call pass, and what the real op has to contradict.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any, Final

import torch

from morphir.ir import FREE, ZERO, AxisMap, Relation
from morphir.ops import Atom
from morphir.ops.axes import Role, Site, Way
from morphir.ops.check import draw_map, draw_shares, tied_sizes
from morphir.ops.forms import Form, atoms_in
from morphir.ops.paths import put_path, read_path
from tests.ops.side_changes import (
    Call,
    Try,
    drawn,
    in_way,
    partners_of,
    source,
)

# Told other sizes than their tensors have, torch's own kernels read or write past the end of them.
UNSAFE: Final = ("lstm", "gru", "rnn_tanh", "rnn_relu", "weight_norm")


# -- what is kept ---------------------------------------------------------------------------------


def kept(call: Call, subject: Any, numbers: random.Random) -> Iterator[Try]:
    """A random admissible change: of the atoms that a condition is about, and maybe of others."""
    free = [atom for atom, role in call.layout.roles.items() if role.ways and call.inside(atom)]
    about = [atom for atom in free if atom in atoms_in(subject)]
    chosen = [*about, *(atom for atom in free if numbers.random() < 0.3)] or free[:1]
    sizes = tied_sizes(call.layout, chosen, numbers)
    at: dict[Site, Relation] = {}
    for atom in dict.fromkeys([*chosen, *sizes]):
        role = call.layout.roles[atom]
        way = numbers.choice(role.ways)
        axis_map = draw_map(atom.size, role, way, numbers, sizes.get(atom))
        at |= in_way(call.layout.sites[atom], way, axis_map)
    yield from call.changed(at, (at,))


# -- what is broken -------------------------------------------------------------------------------


def polarity(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """Copied where it has to be split, or the other way round."""
    role, sites, count = call.layout.roles[atom], call.layout.sites[atom], len(call.inside(atom))
    style = "double" if role.maps == "equal" else "onto"
    found = drawn(call, atom, style, numbers)
    if found is None:
        return
    axis_map, partners = found
    outs = [in_way(sites, [side] * len(sites), axis_map) for side in ("copy", "split")]
    taken = {way[:count] for way in role.ways}
    for way in _ways(role, count, numbers):
        if way not in taken:
            at = partners | in_way(sites[:count], way, axis_map)
            yield from call.changed(at, [partners | out for out in outs])


def _ways(role: Role, count: int, numbers: random.Random) -> Iterator[Way]:
    if count <= 4:
        yield from product(("copy", "split"), repeat=count)
        return
    yield ("copy",) * count
    yield ("split",) * count
    for _ in range(4):
        way, k = [*role.ways[0][:count]], numbers.randrange(count)
        way[k] = "split" if way[k] == "copy" else "copy"
        yield tuple(way)


def as_copies(
    styles: Sequence[str], call: Call, atom: Atom, numbers: random.Random
) -> Iterator[Try]:
    """Copied wherever it stands, by a map that is not accepted."""
    sites = call.layout.sites[atom]
    for style in styles:
        found = drawn(call, atom, style, numbers)
        if found is not None:
            axis_map, partners = found
            at = partners | in_way(sites, ["copy"] * len(sites), axis_map)
            if style == "uneven":
                at |= in_way(sites, call.layout.roles[atom].ways[0], axis_map)
            yield from call.changed(at, [at])


def with_zero(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """One position that holds zero, in every operand."""
    found = drawn(call, atom, "onto", numbers)
    if found is not None:
        axis_map, partners = found
        take = Relation.copied(axis_map).take.copy()
        take[numbers.choice([k for k, u in enumerate(take) if (take == u).sum() > 1])] = ZERO
        relation = Relation.of(atom.size, take, [*range(atom.size)])
        at = partners | dict.fromkeys(call.layout.sites[atom], relation)
        yield from call.changed(at, [at])


def left_out(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """A unit is nowhere, or a free position stands where one operand had it."""
    yield from as_copies(("lost",), call, atom, numbers)
    take = Relation.identity(atom.size).take.copy()
    take[numbers.randrange(atom.size)] = FREE
    first = call.inside(atom)[0]
    yield from call.changed({first: Relation.of(atom.size, take, [*range(atom.size)])})


def apart(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """The last operand is changed by another map than the others."""
    sizes = tied_sizes(call.layout, [atom], numbers)
    partners = partners_of(call, atom, sizes, numbers)
    for way in call.layout.roles[atom].ways:
        axis_map = draw_map(atom.size, call.layout.roles[atom], way, numbers, sizes.get(atom))
        found = _apart(call, atom, way, axis_map, numbers)
        if found is not None:
            at, outs = found
            yield from call.changed(partners | at, [partners | out for out in outs])


def _apart(
    call: Call, atom: Atom, way: Way, first: AxisMap, numbers: random.Random
) -> tuple[dict[Site, Relation], list[dict[Site, Relation]]] | None:
    """One map in all operands but the last, which has the same units in another order."""
    moved = [*first.source]
    if len({*moved}) < 2:
        return None
    while tuple(moved) == first.source:
        numbers.shuffle(moved)
    second = AxisMap(atom.size, tuple(moved), draw_shares(moved, numbers))
    sites, inside = call.layout.sites[atom], call.inside(atom)
    one, other = in_way(sites, way, first), in_way(sites, way, second)
    at = {site: (other if site.tensor == inside[-1].tensor else one)[site] for site in inside}
    return at, [one, other]


def fixed(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """Its units change places, or all of them are there twice."""
    units = [*range(atom.size)]
    while units == [*range(atom.size)]:
        numbers.shuffle(units)
    for each in (units, units * 2)[: 1 if call.op.name in UNSAFE else 2]:
        relation = Relation.copied(AxisMap.copies(atom.size, each))
        at = dict.fromkeys(call.layout.sites[atom], relation)
        yield from call.changed(at, [at, {}])


def written_out(call: Call, atom: Atom, numbers: random.Random) -> Iterator[Try]:
    """A unit that is repeated stands there as often as it is."""
    for size in range(2, 7):
        relation = Relation.copied(AxisMap.copies(1, [0] * size))
        yield from call.changed(dict.fromkeys(call.layout.sites[atom], relation))


def across(call: Call, form: Form, numbers: random.Random) -> Iterator[Try]:
    """The units of an axis change places across its groups or seams, wherever it stands."""
    units = [*range(form.size)]
    numbers.shuffle(units)
    relation = Relation.copied(AxisMap.copies(form.size, units))
    yield from call.changed({}, whole={str(form): relation}, arguments=call.arguments)


def numbers_stay(call: Call, path: Any, numbers: random.Random) -> Iterator[Try]:
    """The axis changes, and the number does not, or another one does."""
    rules = [rule for rule in call.layout.sizes if rule.path == path]
    atoms = [a for a in atoms_in(rules[0].form) if call.layout.roles[a].ways and call.inside(a)]
    for atom in atoms:
        found = drawn(call, atom, "double", numbers)
        if found is None:
            continue
        axis_map, partners = found
        at = partners | in_way(call.layout.sites[atom], call.layout.roles[atom].ways[0], axis_map)
        for other in [None, *(a for a in call.layout.roles if a is not atom)]:
            wrong = {} if other is None else _sized(call, other, atom, len(axis_map.source))
            if wrong is not None:
                arguments = call.sized(partners | wrong)
                yield from call.changed(at, [at], arguments=arguments)


def _sized(call: Call, other: Atom, atom: Atom, size: int) -> dict[Site, Relation] | None:
    grown = other.size * size // atom.size
    relation = Relation.copied(AxisMap.copies(other.size, [k % other.size for k in range(grown)]))
    return {call.layout.sites[other][0]: relation} if other.size else None


def untied(call: Call, tied: Sequence[Form], numbers: random.Random) -> Iterator[Try]:
    """One of the parts that have to be of equal size grows."""
    free = [a for form in tied for a in atoms_in(form) if call.layout.roles[a].ways]
    atom = numbers.choice(free)
    role = call.layout.roles[atom]
    found = source(atom.size, None, numbers, "double" if role.maps == "equal" else "onto")
    assert found is not None
    axis_map = AxisMap(atom.size, tuple(found), draw_shares(found, numbers))
    at = in_way(call.layout.sites[atom], role.ways[0], axis_map)
    yield from call.changed(at, [at])


def other_argument(call: Call, path: Any, numbers: random.Random) -> Iterator[Try]:
    """Another number, or the other setting."""
    was = read_path(call.arguments, path)
    several: list[Any] = [was - 1, was + 1, was + 2]
    if isinstance(was, bool):
        several = [not was]
    elif isinstance(was, float):
        several = [was * 1.5 + 0.125, was * 0.5 - 0.125]
    for other in several:
        yield from call.changed({}, arguments=put_path(call.arguments, path, other))


def not_there(call: Call, _: Any, numbers: random.Random) -> Iterator[Try]:
    """An op that moves data to other places than its layout says."""

    def run(**arguments: Any) -> Any:
        return _rolled(call.op.execute(arguments))

    lying = replace(call, op=replace(call.op, run=run))
    yield from kept(lying, None, numbers)


def _rolled(result: Any) -> Any:
    if isinstance(result, torch.Tensor):
        axes = [*range(result.dim())]
        return result.roll([1] * len(axes), axes) if axes else result
    return tuple(map(_rolled, result))


Break = Callable[[Call, Any, random.Random], Iterator[Try]]
BREAKS: Final[Mapping[str, Break]] = {
    "copied": polarity,
    "zero": with_zero,
    "together": polarity,
    "one": polarity,
    "pairs": polarity,
    "sum": polarity,
    "listed": polarity,
    "left out": left_out,
    "alike": apart,
    "equal": partial(as_copies, ("uneven",)),
    "onto": partial(as_copies, ("lost",)),
    "permutation": partial(as_copies, ("double", "uneven")),
    "fixed": fixed,
    "broadcast": written_out,
    "groups": across,
    "seams": across,
    "numbers": numbers_stay,
    "tied": untied,
    "arguments": other_argument,
    "moved": not_there,
}
