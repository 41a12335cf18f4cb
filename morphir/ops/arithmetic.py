"""Arithmetic: the operators of Python on two operands."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch

from morphir.ir.graph import Argument
from morphir.ops.axes import Layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import Reader
from morphir.ops.broadcast import elementwise
from morphir.ops.declare import ADD, MAP, Draw, everywhere, infix, samples, two_operands
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_SWAPPED = "other, input"
_T: Any = torch.Tensor
_NUMERATOR = elementwise("input")


def _add(input: Any, other: Any, alpha: Any = 1) -> Any:
    return input + other if type(alpha) is int and alpha == 1 else input + alpha * other


def _sub(input: Any, other: Any, alpha: Any = 1) -> Any:
    return input - other if type(alpha) is int and alpha == 1 else input - alpha * other


def _div(input: Any, other: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode is None:
        return input / other
    return torch.div(input, other, rounding_mode=rounding_mode)


def _scaled_sum(sign: float) -> Any:
    def rule(a: Mapping[str, Argument], of: Reader) -> Interval:
        return of(a["input"]) + of(a["other"]) * (of(a["alpha"]) * Interval(sign, sign))

    return rule


def _mul_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    product = of(a["input"]) * of(a["other"])
    return product.meet(NON_NEGATIVE) if a["input"] is a["other"] else product


def _div_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    return ANYTHING if a["rounding_mode"] else of(a["input"]) / of(a["other"])


def _pow_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    exponent = a["exponent"]
    even = type(exponent) in (int, float) and exponent % 2 == 0
    return NON_NEGATIVE if even or of(a["input"]).low >= 0 else ANYTHING


def _div_rule(instance: Instance) -> Layout | str:
    """Linear in the numerator, unless the result is rounded."""
    return MAP(instance) if instance["rounding_mode"] else _NUMERATOR(instance)


def _either_side(draw: Draw) -> Iterable[Mapping[str, Any]]:
    yield from two_operands(draw)
    yield {"input": 2.5, "other": draw.positive(3, 4)}


OPS = (
    Op(
        name="add",
        parameters="input, other, alpha=1",
        run=_add,
        spellings=(
            *everywhere("add", "input, other, *, alpha=1"),
            Spelling(_T.__add__, "input, other"),
            Spelling(_T.__radd__, _SWAPPED),
            Spelling(operator.add, "input, other"),
        ),
        axes=ADD,
        bounds=_scaled_sum(1.0),
        samples=samples(
            lambda d: (*_either_side(d), {"input": d(3, 4), "other": d(4), "alpha": 0.5})
        ),
    ),
    Op(
        name="sub",
        parameters="input, other, alpha=1",
        run=_sub,
        spellings=(
            *everywhere("sub", "input, other, *, alpha=1"),
            *everywhere("subtract", "input, other, *, alpha=1"),
            Spelling(torch.rsub, "other, input, *, alpha=1"),
            Spelling(_T.__sub__, "input, other"),
            Spelling(_T.__rsub__, _SWAPPED),
            Spelling(operator.sub, "input, other"),
        ),
        axes=ADD,
        bounds=_scaled_sum(-1.0),
        samples=samples(
            lambda d: (*_either_side(d), {"input": d(3, 4), "other": d(4), "alpha": 2})
        ),
    ),
    Op(
        name="mul",
        parameters="input, other",
        run=infix(operator.mul),
        spellings=(
            *everywhere("mul"),
            *everywhere("multiply"),
            _T.__mul__,
            Spelling(_T.__rmul__, _SWAPPED),
            operator.mul,
        ),
        axes=elementwise(each=True),
        bounds=_mul_bounds,
        samples=samples(_either_side),
    ),
    Op(
        name="div",
        parameters="input, other, rounding_mode=None",
        run=_div,
        spellings=(
            *everywhere("div", "input, other, *, rounding_mode=None"),
            *everywhere("divide", "input, other, *, rounding_mode=None"),
            *everywhere("true_divide", "input, other"),
            Spelling(_T.__truediv__, "input, other"),
            Spelling(_T.__rtruediv__, _SWAPPED),
            Spelling(_T.__rdiv__, _SWAPPED),
            Spelling(operator.truediv, "input, other"),
        ),
        axes=_div_rule,
        bounds=_div_bounds,
        samples=samples(
            lambda d: (
                *_either_side(d),
                {"input": d(3, 4), "other": d.positive(4)},
                {"input": d(3, 4), "other": d(3, 4), "rounding_mode": "floor"},
            )
        ),
    ),
    Op(
        name="floor_divide",
        parameters="input, other",
        run=infix(operator.floordiv),
        spellings=(
            *everywhere("floor_divide"),
            _T.__floordiv__,
            Spelling(_T.__rfloordiv__, _SWAPPED),
            operator.floordiv,
        ),
        axes=MAP,
        samples=samples(_either_side),
    ),
    Op(
        name="remainder",
        parameters="input, other",
        run=infix(operator.mod),
        spellings=(
            *everywhere("remainder"),
            _T.__mod__,
            Spelling(_T.__rmod__, _SWAPPED),
            operator.mod,
        ),
        axes=MAP,
        samples=samples(_either_side),
    ),
    Op(
        name="fmod",
        parameters="input, other",
        run=torch.fmod,
        spellings=everywhere("fmod"),
        axes=MAP,
        samples=samples(two_operands),
    ),
    Op(
        name="pow",
        parameters="input, exponent",
        run=lambda input, exponent: input**exponent,
        spellings=(
            *everywhere("pow"),
            _T.__pow__,
            Spelling(_T.__rpow__, "exponent, input"),
            operator.pow,
        ),
        axes=MAP,
        bounds=_pow_bounds,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "exponent": 2},
                {"input": d(3, 4), "exponent": 3.0},
                {"input": d.positive(3, 4), "exponent": d(4)},
                {"input": 2.0, "exponent": d(3, 4)},
            )
        ),
    ),
)
