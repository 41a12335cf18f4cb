"""Boxes: for every element of every value the interval that it lies in, whatever the input.

`morphir.ops.bounds` knows one interval for a whole value; here the stored weights are read too, so
that a unit is known whose incoming weights are zero, or which no input of a box can wake.

    FACT-4   if the inputs lie in their boxes, every element of every value lies in its own, in real
             arithmetic on the stored weights

Lower and upper ends are float64 tensors of a value's shape at a batch of one, rounded outward. A
number that follows the batch, and is no shape, may be anything.
Where there is no rule an element may be anything; it is finite, though, as all of this is about
finite numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, final

import torch

from morphir.ir.graph import Argument, Arithmetic, Graph, Node, SizeOf, Value, values_in
from morphir.ops.base import Op
from morphir.ops.bounds import number_interval
from morphir.ops.box_gates import GATES
from morphir.ops.box_rules import KEEPS_ZERO, MOVEMENT, RULES, Box, filled, keep_zeros, move
from morphir.ops.interval import ANYTHING, Interval
from morphir.ops.replay import evaluate
from morphir.ops.table import OpTable

_RULES: Final = {**RULES, **GATES}
_TAKES_SHAPE: Final = ("expand", "repeat", "reshape", "unflatten")


def propagate_boxes(
    graph: Graph,
    state: Mapping[str, torch.Tensor],
    table: OpTable,
    inputs: Mapping[str, tuple[float, float]] | None = None,
) -> dict[Value, Box]:
    """Computes a box for every value that a rule reaches (FACT-4).

    Args:
        graph: An entry point.
        state: State entry name to tensor.
        table: The op declarations.
        inputs: Bounds of inputs by name; the others may be anything.
    """
    return _Boxes(graph, state, table, inputs or {}).found


@final
class _Boxes:
    def __init__(
        self,
        graph: Graph,
        state: Mapping[str, torch.Tensor],
        table: OpTable,
        inputs: Mapping[str, tuple[float, float]],
    ) -> None:
        self.found: dict[Value, Box] = {}
        self._state, self._table = state, table
        for value in graph.inputs:
            if value.type is not None:
                low, high = inputs.get(value.name, (-math.inf, math.inf))
                self._put(value, Interval(low, high))
        escaped = False
        for node in graph.nodes:
            escaped = escaped or node.op == "escape"
            op = self._table.get(node.op)
            drawn = node.random and node.op not in KEEPS_ZERO
            found = None if op is None or escaped or drawn else self._visit(node, op)
            for index, value in enumerate(node.outputs):
                if found is not None and index < len(found) and _fits(found[index], value):
                    self.found[value] = found[index]
                elif value.type is not None:
                    self._put(value, ANYTHING)

    def _anything(self, value: Value) -> Box:
        self._put(value, ANYTHING)
        return self.found[value]

    def _put(self, value: Value, interval: Interval) -> None:
        assert value.type is not None
        whole = torch.full(value.type.sizes(1), 0.0, dtype=torch.float64)
        self.found[value] = Box(filled(whole, interval.low), filled(whole, interval.high))

    def _visit(self, node: Node, op: Op) -> list[Box] | None:
        if any(value.type is None for value in (*node.operands, *node.outputs)):
            return None
        if node.writes and node.op != "batch_norm":  # what that writes it does not return
            return None
        boxes = {v: self._box(v) for v in node.operands}
        given = {name: self._argument(a, boxes) for name, a in node.arguments.items()}
        complete = op.complete(given)
        follows_batch = any(map(_follows_batch, node.arguments.values()))
        if node.op in MOVEMENT:
            is_known = not follows_batch or node.op in _TAKES_SHAPE
            return move(op, complete) if is_known and not _is_looked_up(node) else None
        rule = None if follows_batch else _RULES.get(node.op)
        if any(v.type is not None and v.type.dtype.is_complex for v in node.outputs):
            return None  # the rules are about real numbers
        found = None if rule is None else rule(op, complete)
        if found is not None:
            return [found]
        held = self._scalar(node, op, boxes)
        if node.op not in KEEPS_ZERO or not isinstance(complete["input"], Box):
            return held
        return [keep_zeros(complete["input"], *(held or [self._anything(node.outputs[0])]))]

    def _box(self, value: Value) -> Box:
        if value.origin == "state":
            tensor = self._state[value.name]
            exact = tensor.detach().double() if tensor.is_floating_point() else tensor
            return Box(exact, exact)
        return self.found[value]

    def _argument(self, argument: Any, boxes: Mapping[Value, Box]) -> Any:
        """An argument with boxes for values."""
        if isinstance(argument, Value):
            return boxes[argument]
        if isinstance(argument, tuple) and not isinstance(argument, Box):
            return tuple(self._argument(part, boxes) for part in argument)
        shapes = {value: box.low for value, box in boxes.items()}
        return evaluate(argument, shapes, {v.name: t for v, t in shapes.items()})

    def _scalar(self, node: Node, op: Op, boxes: Mapping[Value, Box]) -> list[Box] | None:
        """What the bounds of whole values say."""
        if op.bounds is None or node.writes:
            return None

        def of(argument: Any) -> Interval:
            if not isinstance(argument, Value):
                return number_interval(argument)
            box = boxes[argument]
            if box.low.numel() == 0 or not box.low.is_floating_point():
                return ANYTHING
            return Interval(float(box.low.min()), float(box.high.max()))

        interval = op.bounds(node.arguments, of)
        held = node.outputs if op.bounds_all_outputs else node.outputs[:1]
        for value in held:
            self._put(value, interval)
        return [self.found[value] for value in held]


def _follows_batch(argument: Argument) -> bool:
    """Whether a number is another one at another batch size."""
    match argument:
        case SizeOf(value=value, axis=axis):
            return value.type is None or not isinstance(value.type.shape[axis], int)
        case Arithmetic(left=left, right=right):
            return _follows_batch(left) or _follows_batch(right)
        case tuple():
            return any(map(_follows_batch, argument))
        case slice(start=start, stop=stop, step=step):
            return any(map(_follows_batch, (start, stop, step)))
        case _:
            return False


def _is_looked_up(node: Node) -> bool:
    """Whether what is moved, and where to, depends on a value that the model computes."""
    return node.op == "getitem" and any(
        v.origin != "state" for v in values_in(node.arguments["index"])
    )


def _fits(box: Box, value: Value) -> bool:
    return value.type is not None and tuple(box.low.shape) == value.type.sizes(1)
