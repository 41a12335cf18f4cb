"""Casts and copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.ir.graph import Argument
from morphir.ops.axes import Flow, Layout, make_layout
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import Reader, same
from morphir.ops.broadcast import broadcast, plain
from morphir.ops.declare import LINEAR, MAP, everywhere, method, samples, unary
from morphir.ops.forms import Atom
from morphir.ops.interval import ANYTHING, UNIT, Interval

_T: Any = torch.Tensor
_DTYPES: Final = {
    "float": torch.float32,
    "double": torch.float64,
    "half": torch.float16,
    "bfloat16": torch.bfloat16,
    "long": torch.int64,
    "int": torch.int32,
    "short": torch.int16,
    "char": torch.int8,
    "byte": torch.uint8,
    "bool": torch.bool,
}


def _cast_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """To floating point the identity; truncation keeps whole bounds; booleans are 0 or 1."""
    x, dtype = of(a["input"]), a["dtype"]
    if dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        return x
    if dtype == torch.bool:
        return UNIT
    return x.map(float.__trunc__) if dtype == torch.int64 and abs(x).high < 2**53 else ANYTHING


def _cast_axes(instance: Instance) -> Layout | str:
    dtype = instance["dtype"]
    linear = dtype is None or (isinstance(dtype, torch.dtype) and dtype.is_floating_point)
    return LINEAR(instance) if linear else MAP(instance)


def _reference_rule(instance: Instance) -> Layout:
    """`type_as`: nothing of the reference but its dtype is used."""
    atoms, reference = map(plain, instance.shapes)
    flows: dict[Atom, Flow] = {**dict.fromkeys(atoms, "map"), **dict.fromkeys(reference, "unused")}
    return make_layout([atoms, reference], [atoms], flows)


def _copy_rule(instance: Instance) -> Layout:
    """`copy_`: of what is overwritten only the shape is used."""
    outs = plain(instance.outputs[0])
    source = broadcast(outs, instance.shapes[1])
    flows: dict[Atom, Flow] = {
        atom: frozenset([1]) if atom in source else "uniform" for atom in outs
    }
    return make_layout([outs, source], [outs], flows)


def _is_dtype(a: Mapping[str, Argument]) -> bool:
    return isinstance(a["dtype"], torch.dtype)


def _is_device(a: Mapping[str, Argument]) -> bool:
    return isinstance(a["device"], torch.device | str)


def _is_tensor(a: Mapping[str, Argument]) -> bool:
    return not isinstance(a["other"], torch.dtype | torch.device | str | int | None)


def _to(input: torch.Tensor, dtype: Any = None, device: Any = None) -> torch.Tensor:
    return input.to(device=device, dtype=dtype)


_REST: Final = "-non_blocking=False, -copy=False, *, -memory_format=None"

OPS = (
    Op(
        name="to",
        parameters="input, dtype=None, device=None",
        run=_to,
        spellings=(
            Spelling(_T.to, f"input, dtype, {_REST}", when=_is_dtype),
            Spelling(_T.to, f"input, device, dtype=None, {_REST}", when=_is_device),
            Spelling(
                _T.to,
                "input, *, dtype=None, device=None, -non_blocking=False, -copy=False, "
                "-memory_format=None",
            ),
            Spelling(_T.type, "input, dtype, -non_blocking=False", when=_is_dtype),
            Spelling(_T.cpu, "input, -memory_format=None", (("device", "cpu"),)),
            *(
                Spelling(getattr(_T, name), "input, -memory_format=None", (("dtype", dtype),))
                for name, dtype in _DTYPES.items()
            ),
        ),
        axes=_cast_axes,
        bounds=_cast_bounds,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                *(
                    {"input": 3 * d(2, 3), "dtype": dtype}
                    for dtype in _DTYPES.values()
                    if dtype != torch.uint8
                ),
                {"input": d.integers(9, 3), "dtype": torch.uint8},
                {"input": d(2, 3), "device": "cpu"},
                {"input": d(2, 3), "dtype": torch.float64, "device": torch.device("cpu")},
            )
        ),
    ),
    Op(
        name="type_as",
        parameters="input, other",
        run=lambda input, other: input.type_as(other),
        spellings=(_T.type_as, Spelling(_T.to, f"input, other, {_REST}", when=_is_tensor)),
        axes=_reference_rule,
        samples=samples(
            lambda d: (
                {"input": d(2, 3), "other": d(2)},
                {"input": d(2, 3), "other": d.integers(3, 4, 1)},
            )
        ),
    ),
    Op(
        name="copy",
        parameters="input, src",
        run=lambda input, src: src.to(input).expand_as(input).clone(),
        spellings=(Spelling(_T.copy_, "input, src, -non_blocking=False"),),
        axes=_copy_rule,
        bounds=lambda a, of: of(a["src"]),
        samples=samples(
            lambda d: (
                {"input": d(2, 3), "src": d(2, 3)},
                {"input": d(2, 3), "src": d(3)},
                {"input": d(2, 3), "src": d(2, 1)},
            )
        ),
    ),
    unary(
        "contiguous",
        Spelling(_T.contiguous, "input, *, -memory_format=None"),
        run=method(_T.contiguous),
        axes=LINEAR,
        bounds=same,
        identity_on=lambda _: ANYTHING,
        keeps_zero=True,
    ),
    unary(
        "clone",
        *everywhere("clone", "input, *, -memory_format=None"),
        axes=LINEAR,
        bounds=same,
        identity_on=lambda _: ANYTHING,
        keeps_zero=True,
    ),
    unary(
        "detach",
        _T.data.__get__,
        axes=LINEAR,
        bounds=same,
        identity_on=lambda _: ANYTHING,
        keeps_zero=True,
    ),
)
