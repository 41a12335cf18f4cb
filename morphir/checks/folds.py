"""Biases that took over units that are constants.

    CERT-16  units may be left out of  b + sum_i w[:, i] x[i]  if what they add is one number,
             whatever the input (FACT-4), and the new bias is the sum of that number and the old
             one, as real numbers

A convolution may not be padded with zeros: at the border it would be another number. Everything is
computed in integers, so nothing is rounded, and of a bias that is off it is known by how much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch

from morphir.checks.rejection import Rejection
from morphir.ir import Node, Program, Relation, TensorChange, Value, values_in
from morphir.ir.relation import Indices
from morphir.ops.box_rules import Box

_SUMS: Final = ("linear", "conv1d", "conv2d", "conv3d")

Numbers = npt.NDArray[np.float64]
Whole = npt.NDArray[Any]  # of Python's integers, which have no largest


def may_take_over(program: Program, name: str, claimed: Mapping[str, TensorChange]) -> bool:
    """Whether a tensor is nothing but the bias of sums of which units are left out.

    Then each of its readers has to say why its numbers are others, and nobody else sees them.
    """
    graphs = program.graphs.values()
    seen = [value for graph in graphs for _, value in (*graph.outputs, *graph.updates)]
    if name in map(state_name, seen) or any(name in dict(graph.updates) for graph in graphs):
        return False
    nodes = [node for graph in graphs for node in graph.nodes]
    readers = [node for node in nodes if name in map(state_name, node.operands)]
    is_bias = all(_is_bias(node, name, claimed) for node in readers)
    return bool(readers) and is_bias and len(claimed[name]) == 1


def _is_bias(node: Node, name: str, claimed: Mapping[str, TensorChange]) -> bool:
    others = (v for key, a in node.arguments.items() if key != "bias" for v in values_in(a))
    if node.op not in _SUMS or name in map(state_name, others):
        return False
    change = claimed.get(state_name(node.arguments["weight"]), ())
    return len(change) > 1 and len(_left_out(change[1].relation)) > 0


def state_name(argument: object) -> str:
    """The name of a state entry; "" of anything else."""
    if isinstance(argument, Value) and argument.origin == "state":
        return argument.name
    return ""


@final
@dataclass(frozen=True)
class Folded:
    """A sum of products whose bias is another one.

    Attributes:
        node: The old call.
        weight: Its weight.
        bias: Its bias.
        new_bias: The new one.
        rows: How that is related to the old one.
    """

    node: Node
    weight: torch.Tensor
    bias: torch.Tensor
    new_bias: torch.Tensor
    rows: Relation

    def taken_over(self, units: Relation, box: Box) -> npt.NDArray[np.bool_]:
        """For each unit whether it is left out, and what it added is in the new bias (CERT-16).

        Args:
            units: How the units of the operand are related to the new ones.
            box: What is known of the operand.

        Raises:
            Rejection: The new bias is not exactly that.
        """
        padding = self.node.arguments.get("padding", 0)
        if any(padding) if isinstance(padding, tuple) else padding not in (0, "valid"):
            raise self._reject("is added to what is padded with zeros")
        sizes = self.bias.shape, self.new_bias.shape, len(self.weight)
        fits = sizes == ((self.rows.size,), (self.rows.new_size,), self.rows.size)
        if not (fits and self.rows.is_copied and self.bias.dtype == self.new_bias.dtype):
            raise self._reject("is not related to the old one, number by number")
        ends = box.low.double(), box.high.double()
        axis = box.low.dim() + 1 - self.weight.dim()
        others = [each for each in range(box.low.dim()) if each != axis]
        if others:
            ends = ends[0].amin(others), ends[1].amax(others)
        low, high = (end.detach().cpu().numpy() for end in ends)
        gone = np.isin(np.arange(len(low)), _left_out(units)) & np.isfinite([low, high]).all(0)
        self._check_sums(np.where(gone, [low, high], 0.0))
        return gone

    def _check_sums(self, ends: Numbers) -> None:
        """Checks the bias of every row that stays against what it should be, at least and most."""
        kept = np.flatnonzero(self.rows.take >= 0)
        rows = self.rows.source[kept]
        bias, new_bias = self._numbers(self.bias)[rows], self._numbers(self.new_bias)[kept]
        low, high, unit = self._added(rows, ends)
        gap = Fraction(0)
        for old, new, least, most in zip(bias, new_bias, low, high, strict=True):
            rest = Fraction(new) - Fraction(old)
            gap = max(gap, rest - least * unit, most * unit - rest)
        if gap:
            off, largest = Decimal(gap.numerator) / gap.denominator, Decimal(abs(new_bias).max())
            share = f", {off / largest:.2g} of its largest number" if largest else ""
            raise self._reject(
                f"takes units over that are left out, and is off by {off:.2g}{share}"
            )

    def _added(self, rows: Indices, ends: Numbers) -> tuple[Whole, Whole, Fraction]:
        """What the units left out add to some rows, at least and at most."""
        groups = ends.shape[1] // self.weight.shape[1]  # of a convolution
        ends = ends.reshape(2, groups, self.weight.shape[1])
        group = rows * groups // len(self.weight)
        used = torch.from_numpy(ends.any(axis=(0, 1)))
        weight = self.weight[:, used].unsqueeze(-1).flatten(2)
        taps, one = _integers(self._numbers(weight)[rows])
        up, down = np.maximum(taps, 0).sum(-1), np.minimum(taps, 0).sum(-1)
        numbers, other = _integers(ends[:, :, used.numpy()])
        low, high = numbers[:, group]
        least, most = up * low + down * high, up * high + down * low
        return least.sum(axis=1), most.sum(axis=1), one * other

    def _numbers(self, tensor: torch.Tensor) -> Numbers:
        if not (tensor.is_floating_point() and bool(tensor.isfinite().all())):
            raise self._reject("or its weight is not finite")
        return np.asarray(tensor.detach().cpu().double().numpy())

    def _reject(self, what: str) -> Rejection:
        return Rejection(f"CERT-16: {state_name(self.node.arguments['bias'])!r} {what}")


def _left_out(relation: Relation) -> Indices:
    """The units that have parts, none of which is taken."""
    return np.setdiff1d(relation.group, relation.group[relation.take[relation.take >= 0]])


def _integers(numbers: Numbers) -> tuple[Whole, Fraction]:
    """Numbers as multiples of a power of two."""
    mantissas, exponents = np.frexp(numbers)
    least = int(exponents.min(initial=0))
    whole = np.ldexp(mantissas, 53).astype(np.int64).astype(object)
    return whole << (exponents - least).astype(object), Fraction(2) ** (least - 53)
