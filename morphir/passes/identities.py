"""Whether a module returns what it was given, and if not, why.

    SHALLOWER-1   f(x) = x: a module that returns its operand may go, by CERT-1 to CERT-4
    SHALLOWER-2   act(I act(x)) = act(x): so may an activation and an identity layer in front of the
                  same idempotent activation

Numbers are read only of the module's own parameters and buffers, so whatever goes has no other use.
The checker of certificates does not use this; it decides by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, final

import torch

from morphir.ir import Argument, Call, Graph, Node, Value, is_inside, whole_number
from morphir.ops import DEFAULT_TABLE
from morphir.passes.surroundings import Activation, Surroundings, sole_consumer

_CONVOLUTIONS: Final = ("conv1d", "conv2d", "conv3d")
_LAYERS: Final = ("linear", *_CONVOLUTIONS)


def law_of_removal(around: Surroundings, graph: Graph, call: Call) -> str:
    """The law by which a call may go, or "" if none says so."""
    return _Reading(around, graph, call).law


def why_it_stays(around: Surroundings, graph: Graph, call: Call) -> str:
    """Which lemma does not hold for a call that is not the identity, and by how much."""
    return _Reading(around, graph, call).reason


@final
class _Reading:
    """What each value of one call equals."""

    def __init__(self, around: Surroundings, graph: Graph, call: Call) -> None:
        self._around, self._graph, self._call = around, graph, call
        self._equals: dict[Value, Value] = {}
        self._zeros: set[Value] = set()
        self._pads: dict[Value, Node] = {}
        self._producers = {value: node for node in call.nodes for value in node.outputs}
        for node in call.nodes:
            self._read(node)

    @property
    def law(self) -> str:
        (operand,), (result,) = self._call.operands, self._call.results
        if operand.type != result.type:
            return ""
        found = self._of(result)
        if found is operand:
            return "SHALLOWER-1"
        node = self._producers.get(found)
        after = sole_consumer(self._graph, result)
        if node is None or after is None or "input" not in node.arguments:
            return ""
        first = Activation.of(node)
        is_first = self._of(node.arguments["input"]) is operand
        is_same = first.is_idempotent and first == Activation.of(after)
        return "SHALLOWER-2" if is_first and is_same else ""

    @property
    def reason(self) -> str:
        (operand,), (result,) = self._call.operands, self._call.results
        if operand.type != result.type:
            return f"it is given {operand.type} and returns {result.type}"
        return self._why(result, zero=False)

    # -- what values equal -------------------------------------------------------------------------

    def _of(self, value: Value) -> Value:
        return self._equals.get(value, value)

    def _read(self, node: Node) -> None:
        if not node.results:
            return
        result, (left, right) = node.results[0], _operands(node)
        if node.op == "pad":
            self._pads[result] = node
        elif self._is_zero_by(node, left, right):
            if result.type is not None and result.type.dtype.is_floating_point:
                self._zeros.add(result)
        else:
            same = self._same_as(node, left, right)
            if same is not None and same.type == result.type:
                self._equals[result] = self._of(same)

    def _is_zero_by(self, node: Node, left: Value | None, right: Value | None) -> bool:
        if node.op in _LAYERS:
            return self._size(node, "weight") == 0 and self._size(node, "bias") == 0
        if left is None or right is None:
            return False
        if node.op == "sub":
            return self._of(left) is self._of(right)
        return node.op == "mul" and (self._is_zero(left) or self._is_zero(right))

    def _same_as(self, node: Node, left: Value | None, right: Value | None) -> Value | None:
        if left is None:
            return None
        if node.op in _LAYERS:
            padded = self._pads.get(left)
            source = left if padded is None else padded.arguments["input"]
            is_identity = self._deviation(node) == 0 and self._size(node, "bias") == 0
            return source if is_identity else None
        if node.op in ("add", "sub", "mul") and right is not None:
            for one, other in ((left, right), (right, left)):
                numbers = self._numbers(other)
                is_one = numbers is not None and bool((numbers == 1).all())
                is_neutral = is_one if node.op == "mul" else self._is_zero(other)
                if is_neutral and (node.op != "sub" or one is left):
                    return one
            return None
        return left if self._keeps(node, left) else None

    def _is_zero(self, value: Value) -> bool:
        numbers = self._numbers(value)
        return value in self._zeros or (numbers is not None and not numbers.any())

    def _keeps(self, node: Node, operand: Value) -> bool:
        """Whether an activation returns its operand, by what is known about that (CERT-3)."""
        on = Activation.of(node).identity_range
        return on is not None and on.contains(self._around.interval(self._graph, self._of(operand)))

    # -- numbers -----------------------------------------------------------------------------------

    def _numbers(self, value: Argument) -> torch.Tensor | None:
        if not isinstance(value, Value) or value.origin != "state":
            return None
        is_own = is_inside(value.name, [self._call.module])
        return self._around.program.state[value.name].tensor if is_own else None

    def _size(self, node: Node, name: str) -> float | None:
        """The largest absolute number of a layer's weight or bias; 0 for a bias that it lacks."""
        value = node.arguments.get(name)
        if value is None:
            return 0.0
        numbers = self._numbers(value)
        return None if numbers is None else _largest(numbers)

    def _deviation(self, node: Node) -> float | None:
        """How far a layer's weight is from that of an identity; None where it can be none."""
        weight = self._numbers(node.arguments["weight"])
        if weight is None or weight.shape[0] == 0:
            return None
        if node.op == "linear":
            expected = torch.eye(*weight.shape, dtype=weight.dtype, device=weight.device)
            is_square = weight.shape[0] == weight.shape[1]
            return _largest(weight - expected) if is_square else None
        padded = self._pads.get(node.arguments["input"])
        tap = _tap(node.arguments, weight, () if padded is None else padded.arguments["pad"])
        groups = whole_number(node.arguments.get("groups", 1))
        if tap is None or groups is None or weight.shape[0] != weight.shape[1] * groups:
            return None
        expected = torch.zeros_like(weight)
        for channel in range(weight.shape[0]):
            expected[(channel, channel % weight.shape[1], *tap)] = 1
        return _largest(weight - expected)

    # -- why not -----------------------------------------------------------------------------------

    def _why(self, value: Value, *, zero: bool) -> str:
        """Which lemma does not hold on the way to a value that should be zero or the operand."""
        node = self._producers.get(value)
        if node is None:
            return "it is a sum that is not its operand (CERT-4)"
        left, right = _operands(node)
        if node.op in _LAYERS and left is not None:
            return self._why_layer(node, left, zero=zero)
        if node.op in ("add", "sub") and left is not None and right is not None:
            (operand,) = self._call.operands
            if self._of(right) is operand:
                left, right = right, left
            is_operand = self._of(left) is operand
            other = right if is_operand or self._is_zero(left) else left
            return self._why(other, zero=zero or is_operand)
        if node.op == "mul" and zero:
            for factor in (left, right):
                numbers = None if factor is None else self._numbers(factor)
                if factor is not None and numbers is not None:
                    return f"{factor.name} is up to {_largest(numbers):.3g} away from 0 (CERT-2)"
        return self._why_activation(node, left, zero=zero)

    def _why_activation(self, node: Node, operand: Value | None, *, zero: bool) -> str:
        op = DEFAULT_TABLE.get(node.op)
        if op is None or op.identity_on is None or operand is None or zero:
            return f"no lemma says what {node.op} returns (CERT-1 to CERT-4)"
        if self._of(operand) not in self._call.operands:
            return self._why(operand, zero=False)
        known = self._around.interval(self._graph, self._of(operand))
        on = Activation.of(node).identity_range
        where = "nowhere" if on is None else f"on {on} only"
        return f"{node.op} is the identity {where}, and is given {known} (CERT-3)"

    def _why_layer(self, node: Node, operand: Value, *, zero: bool) -> str:
        weight = node.arguments["weight"]
        if zero:
            found, lemma = self._size(node, "weight"), "CERT-2"
        else:
            found, lemma = self._deviation(node), "CERT-1"
        aim = "0" if zero else "the identity"
        if found is None:
            return f"{weight.name} is no layer from a space to itself ({lemma})"
        bias = self._size(node, "bias")
        if found != 0:
            return f"{weight.name} is up to {found:.3g} away from {aim} ({lemma})"
        if bias != 0:
            return f"{node.arguments['bias'].name} is up to {bias or 0:.3g} away from 0 ({lemma})"
        return self._why(operand, zero=False)


def _operands(node: Node) -> tuple[Value | None, Value | None]:
    """The first two tensors of a node that has no other options than these matter for."""
    found = (node.arguments.get(name) for name in ("input", "other"))
    left, right = (value if isinstance(value, Value) else None for value in found)
    return left, right


def _largest(numbers: torch.Tensor) -> float:
    return float(numbers.detach().abs().max()) if numbers.numel() else 0.0


def _tap(
    arguments: Mapping[str, Argument], weight: torch.Tensor, pads: tuple[int, ...]
) -> list[int] | None:
    """Where a kernel reads the position that it writes; None where sizes do not stay."""
    found: list[int] = []
    spatial = weight.dim() - 2
    strides = _each(arguments.get("stride", 1), spatial)
    dilations = _each(arguments.get("dilation", 1), spatial)
    for axis, kernel in enumerate(weight.shape[2:]):
        step = dilations[axis]
        if strides[axis] != 1 or step is None:
            return None
        reach = step * (kernel - 1)
        sides = _sides(arguments.get("padding", 0), pads, axis, spatial, reach)
        if None in sides or sum(filter(None, sides)) != reach or (sides[0] or 0) % step:
            return None
        found.append((sides[0] or 0) // step)
    return found


def _sides(
    padding: Argument, pads: tuple[int, ...], axis: int, spatial: int, reach: int
) -> tuple[int | None, int | None]:
    """How much is padded before and after one axis, by the convolution and by a `pad` before."""
    if padding == "same":
        own: tuple[int | None, int | None] = (reach // 2, reach - reach // 2)
    else:
        size = _each(0 if padding == "valid" else padding, spatial)[axis]
        own = size, size
    if not pads:
        return own
    at = 2 * (spatial - 1 - axis)  # the last axis comes first
    before = tuple(pads[at : at + 2])
    fits = len(pads) == 2 * spatial and own == (0, 0) and all(type(n) is int for n in before)
    return (before[0], before[1]) if fits else (None, None)


def _each(setting: Argument, spatial: int) -> list[int | None]:
    each = setting if isinstance(setting, tuple) else (setting,)
    each = each * spatial if len(each) == 1 else each
    return [number if type(number) is int else None for number in each]
