"""Elementwise functions of several operands: choices between them, and what mixes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from morphir.ir.graph import Argument, Arithmetic, SizeOf
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import Reader, hull_of
from morphir.ops.broadcast import elementwise
from morphir.ops.declare import ADD, MAP, Draw, everywhere, samples, two_operands
from morphir.ops.interval import NON_NEGATIVE, Interval

_T: Any = torch.Tensor


def _maximum_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x, y = of(a["input"]), of(a["other"])
    return Interval(max(x.low, y.low), max(x.high, y.high))


def _minimum_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x, y = of(a["input"]), of(a["other"])
    return Interval(min(x.low, y.low), min(x.high, y.high))


def _logaddexp_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """At least the larger of the two."""
    return Interval(low=max(of(a["input"]).low, of(a["other"]).low))


def _other_is_tensor(a: Mapping[str, Argument]) -> bool:
    return not isinstance(a["other"], bool | int | float | tuple | str | SizeOf | Arithmetic)


def _tensors_only(draw: Draw) -> Iterable[Mapping[str, Any]]:
    return (a for a in two_operands(draw) if isinstance(a["other"], torch.Tensor))


def _of_tensors(name: str, *spellings: Any, **fields: Any) -> Op:
    """An elementwise op of two tensors, spelled `torch.name` and `x.name()`."""
    return Op(
        name=name,
        parameters="input, other",
        run=getattr(torch, name),
        spellings=(*everywhere(name), *spellings),
        axes=MAP,
        samples=samples(_tensors_only),
        **fields,
    )


OPS = (
    _of_tensors(
        "maximum",
        *everywhere("fmax"),
        *(Spelling(f, "input, other", when=_other_is_tensor) for f in (torch.max, _T.max)),
        bounds=_maximum_bounds,
    ),
    _of_tensors(
        "minimum",
        *everywhere("fmin"),
        *(Spelling(f, "input, other", when=_other_is_tensor) for f in (torch.min, _T.min)),
        bounds=_minimum_bounds,
    ),
    Op(
        name="where",
        parameters="condition, input, other",
        run=lambda condition, input, other: torch.where(condition, input, other),
        spellings=(torch.where, Spelling(_T.where, "input, condition, other")),
        axes=ADD,
        bounds=hull_of("input", "other"),
        samples=samples(
            lambda d: (
                {"condition": d.flags(3, 4), "input": d(3, 4), "other": d(3, 4)},
                {"condition": d.flags(3, 1), "input": d(3, 4), "other": d(4)},
                {"condition": d.flags(4), "input": d(3, 4), "other": 0.0},
                {"condition": d.flags(3, 4), "input": 1.5, "other": d(3, 4)},
            )
        ),
    ),
    Op(
        name="masked_fill",
        parameters="input, mask, value",
        run=torch.masked_fill,
        spellings=everywhere("masked_fill"),
        axes=MAP,
        bounds=hull_of("input", "value"),
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "mask": d.flags(3, 4), "value": -1.0},
                {"input": d(2, 3, 4), "mask": d.flags(3, 1), "value": 2},
            )
        ),
    ),
    Op(
        name="lerp",
        parameters="input, end, weight",
        run=torch.lerp,
        spellings=everywhere("lerp"),
        axes=elementwise("input", "end"),
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "end": d(3, 4), "weight": 0.3},
                {"input": d(3, 4), "end": d(3, 4), "weight": d(4)},
            )
        ),
    ),
    Op(
        name="addcmul",
        parameters="input, tensor1, tensor2, value=1",
        run=torch.addcmul,
        spellings=everywhere("addcmul", "input, tensor1, tensor2, *, value=1"),
        axes=MAP,
        samples=samples(
            lambda d: ({"input": d(3, 4), "tensor1": d(4), "tensor2": d(3, 1), "value": 2},)
        ),
    ),
    Op(
        name="addcdiv",
        parameters="input, tensor1, tensor2, value=1",
        run=torch.addcdiv,
        spellings=everywhere("addcdiv", "input, tensor1, tensor2, *, value=1"),
        axes=MAP,
        samples=samples(
            lambda d: (
                {"input": d(3, 4), "tensor1": d(4), "tensor2": d.positive(3, 1), "value": 2},
            )
        ),
    ),
    _of_tensors("atan2", *everywhere("arctan2")),
    _of_tensors("hypot", bounds=lambda a, of: NON_NEGATIVE),
    _of_tensors("logaddexp", bounds=_logaddexp_bounds),
    Op(
        name="xlogy",
        parameters="input, other",
        run=torch.xlogy,
        spellings=(*everywhere("xlogy"), torch.special.xlogy),
        axes=MAP,
        samples=samples(lambda d: ({"input": d(3, 4), "other": d.positive(4)},)),
    ),
)
