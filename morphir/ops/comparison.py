"""Comparisons and logic."""

from __future__ import annotations

import operator
from typing import Any

import torch

from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import within
from morphir.ops.declare import MAP, Draw, everywhere, infix, samples, two_operands

_T: Any = torch.Tensor
_COMPARISONS = {
    "gt": ("greater", "__gt__", operator.gt),
    "ge": ("greater_equal", "__ge__", operator.ge),
    "lt": ("less", "__lt__", operator.lt),
    "le": ("less_equal", "__le__", operator.le),
    "eq": ("", "__eq__", operator.eq),
    "ne": ("not_equal", "__ne__", operator.ne),
}
_BITWISE = {
    "bitwise_and": ("__and__", "__rand__", operator.and_),
    "bitwise_or": ("__or__", "__ror__", operator.or_),
    "bitwise_xor": ("__xor__", "__rxor__", operator.xor),
}


def _comparison(name: str, other_name: str, magic: str, function: Any) -> Op:
    return Op(
        name=name,
        parameters="input, other",
        run=infix(function),
        spellings=(*everywhere(name), *everywhere(other_name), getattr(_T, magic), function),
        axes=MAP,
        bounds=within(0.0, 1.0),
        samples=samples(two_operands),
    )


def _flags(draw: Draw) -> Any:
    yield {"input": draw.flags(3, 4), "other": draw.flags(3, 4)}
    yield {"input": draw.flags(3, 1), "other": draw.flags(4)}


def _bitwise(name: str, magic: str, reflected: str, function: Any) -> Op:
    return Op(
        name=name,
        parameters="input, other",
        run=infix(function),
        spellings=(
            *everywhere(name),
            getattr(_T, magic),
            Spelling(getattr(_T, reflected), "other, input"),
            function,
        ),
        axes=MAP,
        samples=samples(_flags),
    )


def _logical(name: str) -> Op:
    return Op(
        name=name,
        parameters="input, other",
        run=getattr(torch, name),
        spellings=everywhere(name),
        axes=MAP,
        bounds=within(0.0, 1.0),
        samples=samples(_flags),
    )


OPS = (
    *(_comparison(name, *rest) for name, rest in _COMPARISONS.items()),
    *(_bitwise(name, *rest) for name, rest in _BITWISE.items()),
    *map(_logical, ("logical_and", "logical_or", "logical_xor")),
    Op(
        name="bitwise_not",
        parameters="input",
        run=lambda input: ~input,
        spellings=(*everywhere("bitwise_not"), _T.__invert__, operator.invert),
        axes=MAP,
        samples=samples(lambda d: ({"input": d.flags(3, 4)}, {"input": d.integers(9, 3)})),
    ),
)
