"""Bounds of sums and products: of each sum in any order, so those of any kernel.

A sum of n products of x and w is off by at most F(|x| + e_x, e_w) + F(e_x + g |x|, |w|), where F is
the same sum of products and g = n u / (1 - n u) (Higham 2002, theorem 3.1 and section 3.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import torch

from morphir.checks.running.operands import (
    Bound,
    Operands,
    Rule,
    Unknown,
    gamma,
    rounding,
    size,
    total,
    unit,
)

_T = torch.Tensor
_Found = tuple[_T, Bound]
aten = torch.ops.aten


def _products(
    operands: Operands,
    result: _T,
    factors: tuple[_T, _T],
    terms: int,
    function: Callable[[_T, _T], _T],
) -> _T:
    x, w = factors
    sizes, bound, other = size(x), operands.bound(x), operands.bound(w)
    off = sizes * gamma(terms, result)
    found = function(off if bound is None else bound + off, size(w))
    if other is not None:
        found = found + function(sizes if bound is None else sizes + bound, other)
    return found + terms * torch.finfo(result.dtype).tiny


def _matrix_product(operands: Operands, func: Any) -> _Found:
    one, two = operands.args
    result = func(one, two)
    return result, total(_products(operands, result, (one, two), one.shape[-1] + 1, func))


def _added_product(operands: Operands, func: Any, *, product: Any) -> _Found:
    start, one, two = operands.args
    result = operands.call(func)
    alpha, beta = (abs(operands.kwargs.get(name, 1)) for name in ("alpha", "beta"))
    terms = one.shape[-1] + 4
    found = _products(operands, result, (one, two), terms, product) * alpha
    of_start = size(start) * gamma(terms, result) + operands.bounds(start)
    return result, total(found, of_start * beta)


def _convolution(operands: Operands, func: Any) -> _Found:
    x, w, bias, *options = operands.args
    result = operands.call(func)
    _, _, _, transposed, _, groups = options
    channels = w.shape[0] // groups if transposed else w.shape[1]
    terms = channels * math.prod(w.shape[2:]) + 2

    def convolved(one: _T, two: _T) -> _T:
        found: _T = func(one, two, None, *options)
        return found

    found = _products(operands, result, (x, w), terms, convolved)
    if bias is None:
        return result, total(found)
    of_bias = size(bias) * gamma(terms, result) + operands.bounds(bias)
    return result, total(found, of_bias.reshape(-1, *[1] * (w.dim() - 2)))


def _weighted_sum(operands: Operands, func: Any, *, extra: int = 2) -> _Found:
    """Of sums of numbers of one operand, with weights that are not negative."""
    x, *rest = operands.args
    result = operands.call(func)
    if not result.is_floating_point():
        return result, None
    options = {name: each for name, each in operands.kwargs.items() if name != "dtype"}
    off = operands.bounds(x) + gamma(x.numel() + extra, result) * size(x)
    return result, total(func(off, *rest, **options))


def _sum(operands: Operands, func: Any) -> _Found:
    """Of sums and means over some axes."""
    x, *rest = operands.args
    result = operands.call(func)
    if not (x.is_floating_point() and result.is_floating_point()):
        return result, None
    options = {name: each for name, each in operands.kwargs.items() if name != "dtype"}
    terms = x.numel() // max(result.numel(), 1) + 2
    return result, total(
        func(operands.bounds(x) + gamma(terms, result) * size(x), *rest, **options)
    )


def _running_sum(operands: Operands, func: Any) -> _Found:
    x, axis = operands.args[:2]
    result = operands.call(func)
    if not x.is_floating_point():
        return result, None
    terms = x.shape[axis] if x.dim() else 1
    return result, total(func(operands.bounds(x) + gamma(terms, result) * size(x), axis))


def _window(operands: Operands, func: Any, *, axes: int) -> _Found:
    """Of means over windows of the last axes, and interpolation between some of their points."""
    x, *rest = operands.args
    result = operands.call(func)
    terms = math.prod(x.shape[-axes:]) + 16
    off = operands.bounds(x) + gamma(terms, result) * size(x)
    return result, total(func(off, *rest, **operands.kwargs))


def _scattered_sum(operands: Operands, func: Any) -> _Found:
    """Of numbers that are added to places of a tensor."""
    result = operands.call(func)
    if not result.is_floating_point() or "alpha" in operands.kwargs:
        raise Unknown
    start, axis, index, source = operands.args
    share = gamma(index.numel() + 2, result)
    parts = (operands.bounds(each) + share * size(each) for each in (start, source))
    first, second = parts
    return result, total(func(first, axis, index, second))


def _bound(operands: Operands, operand: Any, result: _T) -> Bound:
    """The bound of an operand; a Python number is rounded to the dtype of the result."""
    if isinstance(operand, _T):
        return operands.bound(operand)
    return torch.tensor(abs(operand) * unit(result), dtype=torch.float64)


def _sum_of_two(operands: Operands, func: Any, *, reverse: bool = False) -> _Found:
    """Of one + alpha * two, or in reverse."""
    one, two = reversed(operands.args[:2]) if reverse else operands.args[:2]
    result = operands.call(func)
    if not result.is_floating_point():
        return result, None
    first, second = (_bound(operands, each, result) for each in (one, two))
    alpha = operands.args[2] if len(operands.args) > 2 else operands.kwargs.get("alpha", 1)
    if alpha != 1:
        second = (operands.bounds(two) + 3 * unit(result) * size(two)) * abs(alpha)
    return result, total(first, second, rounding(result))


def _product(operands: Operands, func: Any) -> _Found:
    one, two = operands.args
    result = func(one, two)
    if not result.is_floating_point():
        return result, None
    first, second = (_bound(operands, each, result) for each in (one, two))
    of_first = None if first is None else first * size(two)
    of_second = None if second is None else second * (size(one) + operands.bounds(one))
    return result, total(of_first, of_second, rounding(result))


def _quotient(operands: Operands, func: Any) -> _Found:
    one, two = operands.args
    if operands.kwargs.get("rounding_mode"):
        raise Unknown
    result = func(one, two)
    first, second = (_bound(operands, each, result) for each in (one, two))
    least = size(two) if second is None else (size(two) - second).clamp(min=0)
    of_first = None if first is None else first / least
    of_second = None if second is None else size(result) * second / least
    return result, total(of_first, of_second, rounding(result))


def _sum_with(operands: Operands, func: Any, *, part: Rule, of: Any) -> _Found:
    """Of start + value * part(one, two)."""
    start, one, two = operands.args
    value = operands.kwargs.get("value", 1)
    number, bound = part(Operands(operands.bound, (one, two), {}), of)
    result = operands.call(func)
    scaled = bound * abs(value) + rounding(number * value, 2)
    return result, total(operands.bound(start), scaled, rounding(result))


def _between(operands: Operands, func: Any) -> _Found:
    """Of start + weight * (end - start), which torch may compute from either end."""
    start, end, weight = operands.args
    result = func(start, end, weight)
    off = operands.bounds(start) + operands.bounds(end)
    reach = size(start) + size(end) + off
    of_weight = operands.bounds(weight) * reach
    return result, total((1 + size(weight)) * (off + 4 * unit(result) * reach), of_weight)


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(("mm", "bmm", "mv", "dot"), _matrix_product),
    "addmm": partial(_added_product, product=aten.mm),
    "addmv": partial(_added_product, product=aten.mv),
    "baddbmm": partial(_added_product, product=aten.bmm),
    "convolution": _convolution,
    **dict.fromkeys(("sum", "mean"), _sum),
    "cumsum": _running_sum,
    **dict.fromkeys(("avg_pool1d", "_adaptive_avg_pool1d"), partial(_window, axes=1)),
    **dict.fromkeys(
        ("avg_pool2d", "_adaptive_avg_pool2d", "upsample_bilinear2d", "_upsample_bilinear2d_aa"),
        partial(_window, axes=2),
    ),
    **dict.fromkeys(("avg_pool3d", "_adaptive_avg_pool3d"), partial(_window, axes=3)),
    **dict.fromkeys(("scatter_add", "index_add"), _scattered_sum),
    **dict.fromkeys(("add", "sub"), _sum_of_two),
    "rsub": partial(_sum_of_two, reverse=True),
    "mul": _product,
    "div": _quotient,
    "addcmul": partial(_sum_with, part=_product, of=aten.mul),
    "addcdiv": partial(_sum_with, part=_quotient, of=aten.div),
    "lerp": _between,
}
