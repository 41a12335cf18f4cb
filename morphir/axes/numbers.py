"""Numbers that were computed from sizes and attributes: what they read, and what they come to."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from morphir.ir import Argument, Arithmetic, ModuleAttribute, Node, SizeOf
from morphir.ops.paths import Path
from morphir.ops.replay import evaluate


def numbers_in(node: Node) -> tuple[tuple[Path, Argument], ...]:
    """The arguments of a node that are computed from sizes and attributes, with their places."""
    return tuple(
        found for name, argument in node.arguments.items() for found in _numbers_at(argument, name)
    )


def _numbers_at(argument: Argument, *path: str | int) -> Iterator[tuple[Path, Argument]]:
    match argument:
        case SizeOf() | ModuleAttribute() | Arithmetic():
            yield path, argument
        case tuple():
            for index, part in enumerate(argument):
                yield from _numbers_at(part, *path, index)
        case slice():
            for field in ("start", "stop", "step"):
                yield from _numbers_at(getattr(argument, field), *path, field)


def sizes_in(number: Argument) -> Iterator[SizeOf]:
    """Yields every size that a number was computed from."""
    match number:
        case SizeOf():
            yield number
        case Arithmetic(left=left, right=right):
            yield from sizes_in(left)
            yield from sizes_in(right)


def attributes_in(number: Argument) -> Iterator[ModuleAttribute]:
    """Yields every attribute that a number was computed from."""
    match number:
        case ModuleAttribute():
            yield number
        case Arithmetic(left=left, right=right):
            yield from attributes_in(left)
            yield from attributes_in(right)


def compute(
    number: Argument,
    size: Callable[[SizeOf], int],
    attribute: Callable[[ModuleAttribute], int],
) -> int:
    """What a number comes to with other sizes and attributes."""
    match number:
        case SizeOf():
            return size(number)
        case ModuleAttribute():
            return attribute(number)
        case Arithmetic(op=op, left=left, right=right):
            parts = compute(left, size, attribute), compute(right, size, attribute)
            return int(evaluate(Arithmetic(op, *parts), {}, {}))
        case _:
            return int(number)


def undo(op: str, left: int, right: int, wanted: int, *, solve_left: bool) -> int | None:
    """One side of `left op right` such that it is what is wanted; None where none is.

    Of the many that a division rounds to the same number it is the one that leaves no rest.
    """
    match op, solve_left:
        case "+", _:
            return wanted - (right if solve_left else left)
        case "-", True:
            return wanted + right
        case "-", False:
            return left - wanted
        case "*", _:
            other = right if solve_left else left
            return wanted // other if other and wanted % other == 0 else None
        case "//", True:
            return wanted * right
        case "//", False:
            return left // wanted if wanted and left % wanted == 0 else None
        case _:
            return None


def show_number(number: Argument) -> str:
    """Writes a number as the code that computed it."""
    match number:
        case SizeOf(value=value, axis=axis):
            return f"size {axis} of {value.name or value.type}"
        case ModuleAttribute(module=module, name=name):
            return f"{module}.{name}" if module else name
        case Arithmetic(op=op, left=left, right=right):
            return f"({show_number(left)} {op} {show_number(right)})"
        case _:
            return str(number)
