"""Bounds of functions of one operand."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Final

import torch

from morphir.checks.running.operands import (
    Bound,
    Operands,
    Rule,
    Unknown,
    rounding,
    size,
    total,
    unit,
)

_T = torch.Tensor
_Found = tuple[_T, Bound]
# Units of roundoff that exp, tanh and their kin may be off.
_LIBRARY: Final = 4.0


def _monotone(operands: Operands, func: Any, *, steps: float = _LIBRARY) -> _Found:
    """The larger of |f(x + e) - f(x)| and |f(x) - f(x - e)|, and how these were rounded."""
    x, *rest = operands.args
    result = operands.call(func)
    if not result.is_floating_point():
        raise Unknown
    bound, exact = operands.bound(x), x.double()
    if bound is None:
        return result, total(rounding(result, steps))
    here, up, down = (
        func(each, *rest, **operands.kwargs) for each in (exact, exact + bound, exact - bound)
    )
    change = torch.maximum((up - here).abs(), (here - down).abs())
    slack = rounding(up, _LIBRARY) + rounding(here, 2 * _LIBRARY) + rounding(down, _LIBRARY)
    moved = torch.where(bound == 0, 0.0, change + slack)
    return result, total(moved, rounding(result, steps))


def _reciprocal(operands: Operands, func: Any) -> _Found:
    result, found = _monotone(operands, func)
    x = operands.args[0]
    return result, torch.where(size(x) <= operands.bounds(x), torch.inf, total(found))


def _smooth(operands: Operands, func: Any, *, slope: float) -> _Found:
    """Of a function that changes by at most `slope` times what its operand does.

    Such as x times sigmoid(x) round a factor before they multiply, so the size of x counts as well.
    """
    x = operands.args[0]
    result = operands.call(func)
    off = operands.bounds(x) * slope + _LIBRARY * unit(x) * torch.where(x.isinf(), 0.0, size(x))
    return result, total(off, rounding(result, _LIBRARY))


def _prelu(operands: Operands, func: Any) -> _Found:
    x, slope = operands.args
    result = func(x, slope)
    steepest = (size(slope) + operands.bounds(slope)).clamp(min=1)
    off = operands.bounds(x) * steepest + operands.bounds(slope) * size(x)
    return result, total(off, rounding(result))


def _power(operands: Operands, func: Any) -> _Found:
    x, exponent = operands.args
    if isinstance(exponent, _T) or not isinstance(x, _T) or not x.is_floating_point():
        raise Unknown
    if exponent < 1 or not float(exponent).is_integer():
        if not bool((x.double() > operands.bounds(x)).all()):
            raise Unknown
        return _monotone(operands, func)
    result = func(x, exponent)
    slope = exponent * (size(x) + operands.bounds(x)) ** (exponent - 1)
    return result, total(slope * operands.bounds(x), rounding(result, _LIBRARY))


def _clamp(operands: Operands, func: Any) -> _Found:
    """Of what is the largest or the smallest of its operands, one by one."""
    result = operands.call(func)
    limits = (*operands.args, *operands.kwargs.values())
    bounds = [each for each in map(operands.bound, limits) if each is not None]
    if not bounds:
        return result, None
    widest = bounds[0]
    for each in bounds[1:]:
        widest = torch.maximum(widest, each)
    return result, widest.expand(result.shape)


def _unchanged(operands: Operands, func: Any) -> _Found:
    """Of what changes a number by no more than it was off, and rounds nothing."""
    return operands.call(func), operands.bound(operands.args[0])


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("relu", "hardtanh", "neg", "abs"), _unchanged),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max", "maximum", "minimum"), _clamp),
    **dict.fromkeys(
        ("exp", "expm1", "exp2", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "tanh",
         "sigmoid", "erf", "atan", "asinh", "sinh", "softplus", "elu", "log_sigmoid",
         "hardsigmoid", "leaky_relu", "threshold", "softshrink", "hardshrink", "sign", "floor",
         "ceil", "round", "trunc"),
        _monotone,
    ),
    "reciprocal": _reciprocal,
    **dict.fromkeys(("sin", "cos"), partial(_smooth, slope=1.0)),
    "gelu": partial(_smooth, slope=1.13),
    "silu": partial(_smooth, slope=1.1),
    "mish": partial(_smooth, slope=1.1),
    "hardswish": partial(_smooth, slope=1.5),
    "_prelu_kernel": _prelu,
    "pow": _power,
}  # fmt: skip
