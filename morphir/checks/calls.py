"""One call: its shapes, its numbers, its layout, and the relations of its results.

Both calls have one layout, at other sizes. Where a factor was 1, or has become 1, that call's own
layout does not know of it, and the other one's does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from morphir.checks.rejection import Rejection
from morphir.checks.relations import Known, constant, decompose, relate
from morphir.ir import Argument, Arithmetic, ModuleAttribute, Node, SizeOf, Value
from morphir.ops import Atom, Layout, Op
from morphir.ops.fitting import at_sizes, fitted
from morphir.ops.forms import atoms_in, rename
from morphir.ops.paths import Path, tensors_of
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


def common_layout(old: Node, new: Node, op: Op) -> tuple[Layout, Mapping[Atom, Atom]]:
    """The layout of two calls, at the sizes of the old one, and its atoms at those of the new one.

    It is that of the one call which tells more of its axes (AXIS-11).

    Raises:
        Rejection: They are not calls of one layout.
    """
    before, after = layout_of(old, op), layout_of(new, op)
    if _count_free(after) <= _count_free(before):
        return before, _atoms_in_call(before, new, op)
    back = _atoms_in_call(after, old, op)
    return at_sizes(after, back), {atom: there for there, atom in back.items()}


def _count_free(layout: Layout) -> int:
    return sum(role.maps != "identity" for role in layout.roles.values())


def _atoms_in_call(layout: Layout, node: Node, op: Op) -> dict[Atom, Atom]:
    arguments, results = concrete(node, BATCH)
    complete = op.complete(arguments)
    operands = [tensor.shape for a in complete.values() for _, tensor in tensors_of(a)]
    try:
        return fitted(layout, operands, [result.shape for result in results], complete)
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


def relate_call(
    layout: Layout, there: Mapping[Atom, Atom], known: Sequence[Axes]
) -> dict[Atom, Known]:
    """The relation of every atom in the outputs of a call, from those of its operands' axes.

    Args:
        layout: How axes flow through the old call.
        there: Each of its atoms as it is in the new call.
        known: The relation of each axis of each operand.

    Raises:
        Rejection: The op does not keep the relations.
    """
    atoms: dict[Atom, list[Known]] = {}
    for forms, axes in zip(layout.operands, known, strict=True):
        for form, one in zip(forms, axes, strict=True):
            each = decompose(form, rename(form, there), one)
            for atom, found in zip(atoms_in(form), each, strict=True):
                atoms.setdefault(atom, []).append(found)
    results: dict[Atom, Known] = {}
    for atom, sites in layout.sites.items():
        role = layout.roles[atom]
        if role.kind in ("zero", "uniform") and atom not in atoms:
            results[atom] = constant(atom.size, there[atom].size)
        else:
            results[atom] = relate(role, sites, atoms.get(atom, []))
    return results
