"""The four lemmas: what the certificate knows besides congruence.

    CERT-1   a linear map whose weight is exactly the identity and whose bias is zero returns its
             operand; so does a convolution that reads, channel by channel, the position it writes
    CERT-2   a linear map or convolution whose weight and bias are zero returns zero, and zero times
             anything finite is zero
    CERT-3   an activation returns its operand where the interval known for the operand lies inside
             the activation's identity range
    CERT-4   in sums equal terms cancel, x + 0 = x, and 1 * x = x

CERT-1, CERT-2 and the product of CERT-4 look at numbers, and only at those of state that the new
program adds. A lemma speaks only where the result has exactly the type of what it says the result
equals: x[1] + 0[64] is not x, and neither is a sum that promotes its dtype.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, final

import torch

from morphir.checks.forms import Form
from morphir.ir import Argument, Node, TensorType, whole_number
from morphir.ops import Interval, Op

CONVOLUTIONS: Final[Mapping[str, int]] = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
Padding = tuple[Form, tuple[int, ...]]  # what was padded, and by how much (in F.pad's order)
Found = tuple[str, Form]


@final
@dataclass(frozen=True)
class Step:
    """One node, as far as a lemma may look at it.

    Attributes:
        node: The node; it changes nothing in place.
        op: Its declaration.
        type: The type of its first output.
        form: The form of the argument of a name, None where that is no tensor.
        numbers: The tensor behind the argument of a name, None where that is not new state.
        is_finite: Whether no state among the operands holds infinities or NaN.
        interval: What is known about a form.
        padding: What a form is the padding of, if it is one.
    """

    node: Node
    op: Op
    type: TensorType | None
    form: Callable[[str], Form | None]
    numbers: Callable[[str], torch.Tensor | None]
    is_finite: Callable[[], bool]
    interval: Callable[[Form], Interval]
    padding: Callable[[Form], Padding | None]

    def returns(self, form: Form) -> bool:
        """Whether the result has the form's type, which is floating-point or unknown."""
        return form.type == self.type and (form.type is None or form.is_floating)


def simplify(step: Step) -> Found | None:
    """The form that the first output equals, and the number of the lemma that says so.

    A sum in which nothing cancels is rewritten by no lemma; its number is empty.
    """
    return _BY_OP.get(step.node.op, _activation)(step)


def _affine(step: Step) -> Found | None:
    """CERT-1 and CERT-2 for linear maps and convolutions."""
    operand, weight = step.form("input"), step.numbers("weight")
    if operand is None or weight is None or not _has_no_bias(step):
        return None
    if not weight.any() and Form(step.type).is_floating and step.is_finite():
        return "CERT-2", Form(step.type)
    for source, pads in (*_unpadded(step, operand), (operand, ())):
        if step.returns(source) and is_dirac(step.node.arguments, weight, pads):
            return "CERT-1", source
    return None


def _has_no_bias(step: Step) -> bool:
    if step.node.arguments.get("bias") is None:
        return True
    bias = step.numbers("bias")
    return bias is not None and not bias.any()


def _unpadded(step: Step, operand: Form) -> tuple[Padding, ...]:
    found = step.padding(operand)
    return () if found is None else (found,)


def is_dirac(
    arguments: Mapping[str, Argument], weight: torch.Tensor, pads: tuple[int, ...] = ()
) -> bool:
    """Whether a convolution returns what it was given, or what was padded to make it.

    A linear layer is one without spatial axes: its weight is the identity.

    Args:
        arguments: The convolution's arguments.
        weight: Its weight.
        pads: By how much its operand was padded before, in the order of `torch.nn.functional.pad`.
    """
    spatial = weight.dim() - 2
    groups, padding = whole_number(arguments.get("groups", 1)), arguments.get("padding", 0)
    stride = _per_axis(arguments.get("stride", 1), spatial)
    dilation = _per_axis(arguments.get("dilation", 1), spatial)
    if groups is None or stride != (1,) * spatial or dilation is None:
        return False
    reach = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
    around = _padding_around(padding, reach, pads)
    if around is None:
        return False
    tap = []
    for (before, after), step, total in zip(around, dilation, reach, strict=True):
        if before + after != total or before % step:
            return False  # another size, or no tap at the position that is written
        tap.append(before // step)
    if weight.shape[0] != weight.shape[1] * groups:
        return False
    expected = torch.zeros_like(weight)
    for channel in range(weight.shape[0]):
        expected[(channel, channel % weight.shape[1], *tap)] = 1
    return torch.equal(weight, expected)


def _padding_around(
    padding: Argument, reach: list[int], pads: tuple[int, ...]
) -> list[tuple[int, int]] | None:
    """How many positions lie before and after the operand on every axis; None if unclear."""
    spatial = len(reach)
    if pads:
        fits = len(pads) == 2 * spatial and all(type(p) is int and p >= 0 for p in pads)
        if not fits or padding not in (0, (0,) * spatial, "valid"):
            return None
        last_axis_first = [*zip(pads[::2], pads[1::2], strict=True)]
        return last_axis_first[::-1]
    if padding == "same":
        return [(total // 2, total - total // 2) for total in reach]
    each = _per_axis(0 if padding == "valid" else padding, spatial)
    return None if each is None else [(p, p) for p in each]


def _per_axis(setting: Argument, spatial: int) -> tuple[int, ...] | None:
    """A setting as one plain number for each spatial axis; None for anything else."""
    each = setting if isinstance(setting, tuple) else (setting,)
    each = each * spatial if len(each) == 1 else each
    return each if len(each) == spatial and all(type(n) is int for n in each) else None


def _activation(step: Step) -> Found | None:
    """CERT-3."""
    operand = step.form("input")
    if operand is None or step.op.identity_on is None or not step.returns(operand):
        return None
    if step.type is None and step.op.module is None:
        return None  # `clamp` may promote its dtype; activations that are modules don't
    on = step.op.identity_on(step.node.arguments)
    if on is None or not on.contains(step.interval(operand)):
        return None
    return "CERT-3", operand


def _sum(sign: int) -> Callable[[Step], Found | None]:
    """CERT-4 for a sum or difference of two tensors of the result's type."""

    def lemma(step: Step) -> Found | None:
        left, right = step.form("input"), step.form("other")
        if left is None or right is None or step.node.arguments.keys() != {"input", "other"}:
            return None
        if not (left.is_floating and step.returns(left) and step.returns(right)):
            return None
        total = left.plus(right, sign)
        vanished = len(total.terms) < len(left.terms) + len(right.terms)
        return "CERT-4" if vanished or left.is_zero or right.is_zero else "", total

    return lemma


def _product(step: Step) -> Found | None:
    """CERT-2 for a factor that is zero, CERT-4 for one that is all ones."""
    left, right = step.form("input"), step.form("other")
    if left is None or right is None:
        return None
    for name, factor, operand in (("input", left, right), ("other", right, left)):
        scale = step.numbers(name)
        is_zero = factor.is_zero or (scale is not None and not scale.any())
        if is_zero and Form(step.type).is_floating and step.is_finite():
            return "CERT-2", Form(step.type)
        if scale is not None and bool((scale == 1).all()) and operand.is_floating:
            return ("CERT-4", operand) if step.returns(operand) else None
    return None


_BY_OP: Final[Mapping[str, Callable[[Step], Found | None]]] = {
    "linear": _affine,
    **dict.fromkeys(CONVOLUTIONS, _affine),
    "add": _sum(1),
    "sub": _sum(-1),
    "mul": _product,
}
