"""Piecewise functions.

FIELD-3  with gates "square" a number counts as positive if it is a square other than 0. Since
         -1 is no square and 2 is one: relu(relu(x)) = relu(x), relu(x) - relu(-x) = x,
         relu(2x) = 2 relu(x), max(a, b) = b + relu(a - b) = max(b, a), clamp is idempotent.
         What follows from an order is not kept: that a sum of positive numbers is positive
FIELD-4  with gates "free" relu, leaky_relu and abs are keyed functions that are 0 at 0, and
         whether a number other than 0 counts as positive is one as well
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.field.modular import Unsupported
from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten


def _split(run: Run, tensor: Residues, below: Any, name: str) -> Residues:
    """What stays as it is where it is positive, and is another multiple of itself elsewhere."""
    residues = tensor.residues
    if run.gates == "free":
        return run.wrap(run.functions.value(name, residues) * (residues != 0), tensor)
    other = residues * below % run.field.prime
    return run.wrap(torch.where(_positive(run, residues), residues, other), tensor)


def _positive(run: Run, residues: torch.Tensor) -> torch.Tensor:
    if run.gates == "free":
        return (run.functions.value("positive", residues) % 2 == 1) & (residues != 0)
    return run.field.is_square(residues)


def relu(run: Run, tensor: Residues) -> Residues:
    """`max(x, 0)`."""
    return _split(run, tensor, 0, "relu")


def leaky_relu(run: Run, tensor: Residues, slope: float = 0.01) -> Residues:
    """`x` where it is positive, else a multiple."""
    return _split(run, tensor, run.number(slope), f"leaky_relu {slope}")


def randomized_leaky_relu(
    run: Run,
    tensor: Residues,
    noise: Any,
    least: float = 1 / 8,
    most: float = 1 / 3,
    training: bool = False,
    *rest: Any,
) -> Residues:
    """The same with the slope in the middle of an interval."""
    if training:
        raise Unsupported("slopes that are drawn at random")
    return leaky_relu(run, tensor, (least + most) / 2)


def prelu(run: Run, tensor: Residues, slope: Any) -> Any:
    """The same with a slope that is learned."""
    positive = relu(run, tensor)
    return positive + slope * (tensor - positive)


def absolute(run: Run, tensor: Residues) -> Residues:
    """`|x|`."""
    return _split(run, tensor, -1, "abs")


def sign(run: Run, tensor: Residues) -> Residues:
    """1, 0 or -1."""
    residues = tensor.residues
    signs = torch.where(_positive(run, residues), 1, run.field.prime - 1)
    return run.wrap(signs * (residues != 0), tensor)


def threshold(run: Run, tensor: Residues, limit: float, value: float) -> Residues:
    """`x` where it is above a limit, else a number."""
    above = _positive(run, (tensor.residues - run.number(limit)) % run.field.prime)
    return run.wrap(torch.where(above, tensor.residues, run.number(value)), tensor)


def maximum(run: Run, left: Any, right: Any) -> Any:
    """The larger of two."""
    return right + aten.relu(_difference(run, left, right))


def minimum(run: Run, left: Any, right: Any) -> Any:
    """The smaller of two."""
    return right - aten.relu(_difference(run, right, left))


def _difference(run: Run, left: Any, right: Any) -> Residues:
    return run.wrap((run.value(left) - run.value(right)) % run.field.prime, left, right)


def clamp(run: Run, tensor: Any, least: Any = None, most: Any = None) -> Any:
    """A number that is brought between two others."""
    if least is not None:
        tensor = maximum(run, tensor, least)
    return tensor if most is None else minimum(run, tensor, most)


def hard_sigmoid(run: Run, tensor: Residues) -> Any:
    """`relu6(x + 3) / 6`."""
    return clamp(run, tensor + 3, 0, 6) / 6


def _comparison(name: str) -> Kernel:
    def compared(run: Run, left: Any, right: Any) -> torch.Tensor:
        difference = _difference(run, left, right).residues
        positive, zero = _positive(run, difference), difference == 0
        answers = {"gt": positive, "ge": positive | zero, "lt": ~(positive | zero)}
        return answers.get(name, ~positive)

    return compared


COMPUTED: Final[Mapping[str, Kernel]] = {
    "relu": relu,
    "leaky_relu": leaky_relu,
    "rrelu_with_noise": randomized_leaky_relu,
    "_prelu_kernel": prelu,
    "abs": absolute,
    "sign": sign,
    "sgn": sign,
    "threshold": threshold,
    "maximum": maximum,
    "minimum": minimum,
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": lambda run, tensor, most: clamp(run, tensor, None, most),
    "hardtanh": lambda run, tensor, least=-1, most=1: clamp(run, tensor, least, most),
    "relu6": lambda run, tensor: clamp(run, tensor, 0, 6),
    "hardsigmoid": hard_sigmoid,
    "hardswish": lambda run, tensor: tensor * hard_sigmoid(run, tensor),
    **{name: _comparison(name) for name in ("gt", "ge", "lt", "le")},
}
