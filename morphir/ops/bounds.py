"""Facts: for every value an interval that holds all of its elements, whatever the input.

    FACT-1   if x lies in the interval of its value before a node, the node's real result lies in
             the interval after it
    FACT-2   on the inputs that `identity_on` names an op returns its first operand bit for bit
    FACT-3   an op that keeps zero returns zeros when its first operand is all zero and its other
             operands are finite

Facts are what makes an identity insertion provable (relu(x) = x where x >= 0). Bounds that are not
exactly representable are rounded outward; a cast between floating-point types counts as the
identity. A number that Python computed from a value that left torch depends on the input, so after
an escape an op whose bounds read a number gives no fact.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import torch

from morphir.ir.graph import Argument, Graph, ModuleAttribute, SizeOf, Value
from morphir.ops.interval import ANYTHING, Interval

if TYPE_CHECKING:
    from morphir.ops.table import OpTable

Reader = Callable[[Argument], Interval]
BoundsRule = Callable[[Mapping[str, Argument], Reader], Interval]

_TYPE_BOUNDS: Final[Mapping[torch.dtype, Interval]] = {
    torch.bool: Interval(0.0, 1.0),
    torch.uint8: Interval(0.0, 255.0),
}


def propagate(graph: Graph, table: OpTable) -> dict[Value, Interval]:
    """Computes an interval for every value of a graph that has one; linear in its size (FACT-1)."""
    facts: dict[Value, Interval] = {}
    escaped = False

    def interval(argument: Argument) -> Interval:
        if isinstance(argument, Value) and argument not in facts:
            return _TYPE_BOUNDS.get(argument.type.dtype, ANYTHING) if argument.type else ANYTHING
        return facts[argument] if isinstance(argument, Value) else number_interval(argument)

    for node in graph.nodes:
        escaped = escaped or node.op == "escape"
        op = table.get(node.op)
        if op is None or op.bounds is None or node.writes:
            continue
        if escaped and _reads_number(tuple(node.arguments.values())):
            continue
        found = op.bounds(node.arguments, interval)
        if found != ANYTHING:
            held = node.outputs if op.bounds_all_outputs else node.outputs[:1]
            facts.update(dict.fromkeys(held, found))
    return facts


def number_interval(argument: Argument) -> Interval:
    """The interval of an argument that is no tensor."""
    match argument:
        case bool() | int() | float():
            return Interval(float(argument), float(argument))
        case SizeOf():
            return Interval(low=0.0)
        case ModuleAttribute(number=number):
            return Interval(float(number), float(number))
        case _:
            return ANYTHING


def _reads_number(argument: Argument) -> bool:
    if isinstance(argument, tuple):
        return any(map(_reads_number, argument))
    return isinstance(argument, int | float) and not isinstance(argument, bool)


def within(low: float, high: float) -> BoundsRule:
    """The rule of an op whose results lie between two numbers."""
    return lambda arguments, of: Interval(low, high)


def monotone(
    function: Callable[[float], float], low: float = -math.inf, high: float = math.inf
) -> BoundsRule:
    """The rule of a non-decreasing function with a known range, computed to a few ulps."""
    return lambda arguments, of: of(arguments["input"]).image(function, Interval(low, high))


def same(arguments: Mapping[str, Argument], of: Reader) -> Interval:
    """The rule of an op whose results lie between its elements: views, slices, pooling, means."""
    return of(arguments["input"])


def sign(arguments: Mapping[str, Argument], of: Reader) -> Interval:
    """The rule of an op that sums its elements: only their sign is kept."""
    return of(arguments["input"]).sign


def with_zero(arguments: Mapping[str, Argument], of: Reader) -> Interval:
    """The rule of an op whose results are its elements or zero."""
    return of(arguments["input"]).hull(Interval(0.0, 0.0))


def hull_of(*names: str) -> BoundsRule:
    """The rule of an op whose results are elements of some operands, or lie between them."""

    def rule(arguments: Mapping[str, Argument], of: Reader) -> Interval:
        found: list[Interval] = []
        for name in names:
            argument = arguments[name]
            found += map(of, argument if isinstance(argument, tuple | list) else (argument,))
        hull = found[0]
        for interval in found[1:]:
            hull = hull.hull(interval)
        return hull

    return rule
