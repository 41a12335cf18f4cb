"""Every way to say something else in one place of a certificate.

A unit comes from elsewhere, two units are exchanged, a claim is dropped, made twice or about
another tensor, a law, an anchor, a bound or a length is another one. What would be no lie is not
made: bounds are only moved outwards, laws are those of insertions or those of removals, which may
be about any module, and of several modules after one anchor none is called the anchor of the next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from morphir import Certificate
from morphir.ir import (
    FRESH,
    Added,
    AxisChange,
    AxisMap,
    Extension,
    InsertionClaim,
    Mapped,
    Multiplied,
    Program,
    ResizeClaim,
)
from morphir.ir.change import maps_in

Mutants = Iterator[tuple[str, Certificate]]
Source = Sequence[int]

LAWS: Final = {
    "insertions": ("DEEPER-1", "DEEPER-2", "DEEPER-3", "DEEPER-4", "INJECT-1", "WIDER-1", ""),
    "removals": ("SHALLOWER-1", "SHALLOWER-2", "COMPACT-1", ""),
}


def mutants_of(given: Certificate, before: Program, after: Program) -> Mutants:
    """All mutants of a certificate about two programs, each with what was done to it."""
    yield from _of_programs(given)
    for field in ("insertions", "removals"):
        yield from _of_modules(given, field, before, after)
    for number, claim in enumerate(given.resizes):
        rest = [*given.resizes]
        for name, changed in _of_axes(claim, after if claim.inverse else before):
            rest[number] = changed
            yield name, replace(given, resizes=tuple(rest))
    yield from _of_bounds(given)


# -- which programs, which modules -----------------------------------------------------------------


def _of_programs(given: Certificate) -> Mutants:
    yield "programs exchanged", replace(given, before=given.after, after=given.before)
    yield "another program before", replace(given, before=given.before[::-1])
    yield "another program after", replace(given, after=given.after[::-1])
    yield "of steps", replace(given, steps=(given,))
    yield "backwards", given.inverted


def _of_modules(given: Certificate, field: str, before: Program, after: Program) -> Mutants:
    claims: tuple[InsertionClaim, ...] = getattr(given, field)
    modules = [*dict.fromkeys((*before.modules, *after.modules))]
    for number, claim in enumerate(claims):
        others = (*claims[:number], *claims[number + 1 :])
        yield f"{claim.module} dropped", replace(given, **{field: others})
        yield f"{claim.module} twice", replace(given, **{field: (*claims, claim)})
        changes: list[dict[str, Any]] = [{"law": law} for law in LAWS[field]]
        kin = [other.module for other in others if other.anchor == claim.anchor]
        changes += [{"anchor": name} for name in (*modules, "nowhere") if name not in kin]
        changes += [{"module": name} for name in (*modules, f"{claim.module}x")]
        stops = [*claim.freezes]
        changes += [{"freezes": tuple(n for n in stops if n != name)} for name in stops]
        parameters = (n for n, e in before.state.items() if e.kind == "parameter")
        changes += [{"freezes": (*stops, name)} for name in parameters if name not in stops]
        for change in changes:
            changed = replace(claim, **change)
            yield f"{claim.module} with {change}", replace(given, **{field: (*others, changed)})


# -- which axes ------------------------------------------------------------------------------------


def _of_axes(claim: ResizeClaim, old: Program) -> Iterator[tuple[str, ResizeClaim]]:
    yield "direction", replace(claim, inverse=not claim.inverse)
    yield "no tensor", replace(claim, tensors={})
    for name, tensors in _of_tensors(claim.tensors, old):
        yield name, replace(claim, tensors=tensors)
    for field in ("inputs", "outputs"):
        for name, ends in _of_ends(getattr(claim, field)):
            yield name, replace(claim, **{field: ends})
    graph = next(iter(old.graphs.values()))
    named = {end.path for end in (*claim.inputs, *claim.outputs)}
    for field, values in (
        ("inputs", [(value.name, value) for value in graph.inputs]),
        ("outputs", graph.outputs),
    ):
        for path, value in values:
            if path not in named and value.type is not None:
                size = value.type.sizes(2)[1]
                more = Extension(graph.name, path, 1, size, size + 1)
                yield f"{path!r} longer", replace(claim, **{field: (more,)})


def _of_tensors(tensors: Mapping[str, Any], old: Program) -> Iterator[tuple[str, dict[str, Any]]]:
    whole = dict(tensors)
    for name, change in whole.items():
        yield f"{name} dropped", {key: each for key, each in whole.items() if key != name}
        for axis, each in enumerate(change):
            for what, changed in _of_axis(each):
                new = (*change[:axis], changed, *change[axis + 1 :])
                yield f"{name}[{axis}]: {what}", {**whole, name: new}
        for other, its in whole.items():
            if name < other:
                yield f"{name} and {other} exchanged", {**whole, name: its, other: change}
    for name, entry in old.state.items():
        shape = entry.type.sizes(1)
        if name not in whole and shape and shape[0] > 1:
            turned = AxisMap.copies(shape[0], [1, 0, *range(2, shape[0])])
            new = (Mapped(shape[0], turned), *map(Mapped, shape[1:]))
            yield f"{name} as well", {**whole, name: new}
    for axis_map in dict.fromkeys(m for c in whole.values() for a in c for m in maps_in(a)):
        for what, source in _of_source(axis_map):
            new_map = AxisMap.copies(axis_map.size, source)
            everywhere = {
                name: tuple(_replaced(axis, axis_map, new_map) for axis in change)
                for name, change in whole.items()
            }
            yield f"everywhere: {what}", everywhere


def _of_axis(each: AxisChange) -> Iterator[tuple[str, AxisChange]]:
    """Every other thing that one axis may be said to do."""
    match each:
        case Mapped(size=size, map=None):
            if size > 1:
                source = [1, 0, *range(2, size)]
                yield "exchanged 0 and 1", Mapped(size, AxisMap.copies(size, source))
        case Mapped(size=size, map=axis_map, polarity=polarity) if axis_map is not None:
            yield (
                "the other polarity",
                Mapped(size, axis_map, "split" if polarity == "copy" else "copy"),
            )
            for what, source in _of_source(axis_map):
                yield what, Mapped(size, AxisMap.copies(size, source), polarity)
        case Multiplied(factors=parts) | Added(terms=parts):
            yield "parts the other way round", type(each)(parts[::-1])
            for number, part in enumerate(parts):
                for what, changed in _of_axis(part):
                    new = (*parts[:number], changed, *parts[number + 1 :])
                    yield f"part {number} {what}", type(each)(new)


def _of_source(axis_map: AxisMap) -> Iterator[tuple[str, Source]]:
    source, size = axis_map.source, axis_map.size
    for at, unit in enumerate(source):
        others = {FRESH, (unit + 1) % size, (unit - 1) % size} - {unit}
        for other in sorted(others):
            yield f"{at} from {other}", (*source[:at], other, *source[at + 1 :])
        if at:
            turned = [*source]
            turned[at - 1], turned[at] = turned[at], turned[at - 1]
            yield f"exchanged {at - 1} and {at}", turned
    yield "one less", source[:-1]
    yield "one more", (*source, FRESH)
    yield "one more copy", (*source, 0)


def _replaced(axis: AxisChange, old: AxisMap, new: AxisMap) -> AxisChange:
    match axis:
        case Mapped(size=size, map=own, polarity=polarity):
            return Mapped(size, new, polarity) if own is old else axis
        case Multiplied(factors=parts) | Added(terms=parts):
            return type(axis)(tuple(_replaced(part, old, new) for part in parts))


# -- which ends, which bounds ----------------------------------------------------------------------


def _of_ends(ends: Sequence[Extension]) -> Iterator[tuple[str, tuple[Extension, ...]]]:
    for number, end in enumerate(ends):
        others = (*ends[:number], *ends[number + 1 :])
        yield f"{end.path!r} dropped", others
        yield f"{end.path!r} twice", (*ends, end)
        changes: list[dict[str, Any]] = [
            {"entry_point": "elsewhere"}, {"path": f"{end.path}x"}, {"axis": end.axis - 1},
            {"axis": end.axis + 1}, {"size": end.size - 1}, {"size": end.size + 1},
            {"new_size": end.new_size + 1}, {"new_size": end.new_size - 1}, {"new_size": end.size},
        ]  # fmt: skip
        for change in changes:
            yield f"{end.path!r} with {change}", (*others, replace(end, **change))


def _of_bounds(given: Certificate) -> Mutants:
    if given.box is None:
        return
    yield "no bounds", replace(given, box=None)
    yield "bounds of nothing", replace(given, box={})
    for name, (low, high) in given.box.items():
        for wider in ((low - 1, high), (low, high + 1), (4 * low, 4 * high)):
            yield f"{name} within {wider}", replace(given, box={**given.box, name: wider})
        yield f"bounds of {name}x", replace(given, box={f"{name}x": (low, high)})
