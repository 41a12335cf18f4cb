"""One call: its shapes, its numbers, its layout, and the relations of its results.

Old and new layout of a call are made of atoms of their own; which is which follows from where they
stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known, constant, decompose, relate
from morphir.ir import Argument, Arithmetic, ModuleAttribute, Node, SizeOf, Value
from morphir.ops import Atom, Layout, Op
from morphir.ops.forms import atoms_in
from morphir.ops.paths import Path
from morphir.ops.replay import evaluate

# Shapes are compared at one batch size: a prime, so that it divides and equals no other axis.
BATCH: Final = 1009

Axes = tuple[Known, ...]


@final
@dataclass(frozen=True)
class Shape:
    """A shape in the place of a tensor."""

    shape: tuple[int, ...]


def layout_of(node: Node, op: Op) -> Layout:
    """How axes flow through a call.

    Raises:
        Rejection: A shape is not known, or does not fit the op's declaration.
    """
    arguments, results = concrete(node, BATCH)
    try:
        return op.layout(arguments, results)
    except ValueError as error:
        raise Rejection(f"CERT-11: {error}") from error


def concrete(node: Node, batch: int) -> tuple[dict[str, Any], list[Shape]]:
    """The arguments of a node with shapes in the place of tensors, and those of its results."""
    shapes: dict[Value, Shape] = {}
    for value in (*node.operands, *node.results):
        if value.type is None:
            raise Rejection("CERT-11: a shape is not known")
        shapes[value] = Shape(value.type.sizes(batch))
    state = {value.name: shape for value, shape in shapes.items() if value.origin == "state"}
    arguments = {name: evaluate(a, shapes, state) for name, a in node.arguments.items()}
    return arguments, [shapes[value] for value in node.results]


def number_of(argument: Argument, node: Node) -> Any:
    """The number that a size is; anything else is itself a matter of keys."""
    if not isinstance(argument, SizeOf | Arithmetic | ModuleAttribute):
        return None
    shapes = {v: Shape(v.type.sizes(BATCH)) for v in node.operands if v.type is not None}
    state = {value.name: shape for value, shape in shapes.items() if value.origin == "state"}
    return evaluate(argument, shapes, state)


def leaves(was: Argument, now: Argument, path: Path) -> Iterator[tuple[Path, Argument, Argument]]:
    """Pairs of what stands in the same place of two arguments."""
    if isinstance(was, tuple) and isinstance(now, tuple) and len(was) == len(now):
        for index, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from leaves(one, other, (*path, index))
    elif isinstance(was, slice) and isinstance(now, slice):
        for name in ("start", "stop", "step"):
            yield from leaves(getattr(was, name), getattr(now, name), (*path, name))
    else:
        yield path, was, now


def tensors_in_argument(argument: Argument) -> Iterator[Value]:
    """Yields the tensors of an argument; a size is none."""
    if isinstance(argument, Value):
        yield argument
    elif isinstance(argument, tuple):
        for part in argument:
            yield from tensors_in_argument(part)


def relate_call(before: Layout, after: Layout, known: Sequence[Axes]) -> dict[Atom, Known]:
    """The relation of every atom in the outputs of a call, from those of its operands' axes.

    Raises:
        Rejection: The op does not keep the relations.
    """
    pairs = _pairs(before, after)
    atoms: dict[Atom, list[Known]] = {}
    for tensor, axes in enumerate(known):
        forms = zip(before.operands[tensor], after.operands[tensor], strict=True)
        for (form, new), one in zip(forms, axes, strict=True):
            for atom, each in zip(atoms_in(form), decompose(form, new, one), strict=True):
                atoms.setdefault(atom, []).append(each)
    results: dict[Atom, Known] = {}
    for atom, sites in before.sites.items():
        role, new_role = before.roles[atom], after.roles[pairs[atom]]
        if (role.kind, role.maps, role.ways) != (new_role.kind, new_role.maps, new_role.ways):
            raise Rejection(f"CERT-11: an axis is {role.kind} in one and {new_role.kind}")
        if role.kind in ("zero", "uniform") and atom not in atoms:
            results[atom] = constant(atom.size, pairs[atom].size)
        else:
            results[atom] = relate(role, sites, atoms.get(atom, []))
    return results


def _pairs(before: Layout, after: Layout) -> dict[Atom, Atom]:
    """Which atom of the new layout is which of the old one."""
    sides = (*before.operands, *before.outputs), (*after.operands, *after.outputs)
    pairs: dict[Atom, Atom] = {}
    lists = ([[*atoms_in(form)] for axes in side for form in axes] for side in sides)
    for olds, news in zip(*lists, strict=True):
        if len(olds) != len(news):
            raise Rejection("CERT-11: an axis is made of other parts")
        for one, other in zip(olds, news, strict=True):
            if pairs.setdefault(one, other) is not other:
                raise Rejection("CERT-11: axes that were one are two")
    if len({*pairs.values()}) < len(pairs):
        raise Rejection("CERT-11: axes that were two are one")
    return pairs
