"""Bounds of choices: rounding may change which one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.checks.running.operands import Bound, Operands, Rule, Unknown, total

_T = torch.Tensor


def _comparison(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Infinite where rounding may decide."""
    one, two = operands.args
    result = func(one, two)
    if operands.are_exact:
        return result, None
    apart = one.double() - two if isinstance(one, _T) else one - two.double()
    reach = total(operands.bounds(one), operands.bounds(two))
    return result, torch.where((reach > 0) & ~(apart.abs() > reach), torch.inf, 0.0)


def _where(operands: Operands, func: Any) -> tuple[_T, Bound]:
    condition, one, two = operands.args
    result = func(condition, one, two)
    if operands.are_exact:
        return result, None
    return result, torch.where(condition, operands.bounds(one), operands.bounds(two))


def _extreme(operands: Operands, func: Any) -> tuple[Any, Any]:
    """Of the largest or smallest numbers: which ones they are is known if there are gaps."""
    x, *rest = operands.args
    if rest and isinstance(rest[0], _T):
        raise Unknown
    result = operands.call(func)
    bound = operands.bound(x)
    if isinstance(result, _T):
        if bound is None:
            return result, None
        axes = rest[0] if rest and rest[0] != [] else [*range(x.dim())]
        return result, bound.amax(axes).reshape(result.shape)
    if bound is None:
        return result, (None, None)
    widest, doubt = bound.amax(rest[0]), _doubt(x, bound, rest[0])
    shape = result[0].shape
    return result, (widest.reshape(shape), doubt.reshape(shape))


def _sorted(operands: Operands, func: Any) -> tuple[Any, Any]:
    """Of numbers in order, or the first of them, with their positions."""
    x = operands.args[0]
    result = operands.call(func)
    bound = operands.bound(x)
    if bound is None:
        return result, (None, None)
    names = [argument.name for argument in func._schema.arguments]
    given = dict(zip(names, operands.args, strict=False)) | dict(operands.kwargs)
    axis = given.get("dim", -1)
    _, positions = result
    doubt = _doubt(x, bound, axis).unsqueeze(axis).expand(positions.shape)
    return result, (bound.gather(axis, positions) + doubt, doubt)


def _position(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Of the position of the largest or smallest."""
    x, *rest = operands.args
    result = operands.call(func)
    bound = operands.bound(x)
    if bound is None:
        return result, None
    axis = rest[0] if rest else operands.kwargs.get("dim")
    if axis is None:
        x, bound, axis = x.flatten(), bound.flatten(), 0
    return result, _doubt(x, bound, axis).reshape(result.shape)


def _doubt(x: _T, bound: _T, axis: int) -> _T:
    """Infinite where rounding may change the order of the numbers along an axis, which goes."""
    if not x.dim():
        return torch.zeros((), dtype=torch.float64)
    numbers, order = x.double().sort(axis)
    reach = bound.gather(axis, order)
    gaps = x.shape[axis] - 1
    apart = numbers.narrow(axis, 1, gaps) - numbers.narrow(axis, 0, gaps)
    needed = reach.narrow(axis, 1, gaps) + reach.narrow(axis, 0, gaps)
    return torch.where(((apart <= needed) & (needed > 0)).any(axis), torch.inf, 0.0)


def _certain(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Of what has operands that rounding has not moved."""
    if not operands.are_exact and any(each.is_floating_point() for each in operands.tensors):
        raise Unknown
    return operands.call(func), None


def _finiteness(operands: Operands, func: Any) -> tuple[_T, Bound]:
    bound = operands.bound(operands.args[0])
    if bound is not None and not bool(bound.isfinite().all()):
        raise Unknown
    return operands.call(func), None


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        ("any", "all", "logical_not", "logical_and", "logical_or", "bitwise_not", "bitwise_and",
         "bitwise_or", "bitwise_xor", "nonzero"),
        _certain,
    ),
    **dict.fromkeys(("isfinite", "isnan", "isinf"), _finiteness),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), _comparison),
    "where": _where,
    **dict.fromkeys(("amax", "amin", "max", "min"), _extreme),
    **dict.fromkeys(("sort", "topk"), _sorted),
    **dict.fromkeys(("argmax", "argmin"), _position),
}  # fmt: skip
