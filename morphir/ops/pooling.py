"""Pooling: the spatial axes are fixed, all others pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import Reader, same
from morphir.ops.declare import samples
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_SPACES = ("H", "H W", "H W D")
_NEW_SPACES = ("H'", "H' W'", "H' W' D'")


def _axes(dims: int, flag: str = "") -> str:
    return f"... {_SPACES[dims - 1]} -> ... {_NEW_SPACES[dims - 1]}{flag}"


def _callables(name: str) -> tuple[Any, ...]:
    """What torch has under a name, in `torch` and in `torch.nn.functional`."""
    found = [getattr(owner, name, None) for owner in (F, torch)]
    return tuple(dict.fromkeys(function for function in found if function is not None))


def _avg_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """Means of elements and of padded zeros; a divisor of the caller's own keeps the sign only."""
    x = of(a["input"])
    if a.get("divisor_override") is not None:
        return x.sign if (a["divisor_override"] or 0) > 0 else ANYTHING
    padding = a["padding"] if isinstance(a["padding"], tuple) else (a["padding"],)
    return x if not any(padding) else x.hull(Interval(0.0, 0.0))


def _max_pool(dims: int) -> Op:
    name = f"max_pool{dims}d"
    own = "input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False"
    size = (5,) * dims
    return Op(
        name=name,
        parameters=own,
        run=getattr(F, name),
        spellings=(
            Spelling(getattr(F, name), f"{own}, !return_indices=False"),
            getattr(torch, name),
        ),
        axes=_axes(dims),
        bounds=same,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, *size), "kernel_size": 2},
                {"input": d(2, 1, *size), "kernel_size": 3, "stride": 1, "padding": 1},
                {"input": d(2, *size), "kernel_size": 2, "stride": 2, "ceil_mode": True},
            )
        ),
    )


def _avg_pool(dims: int) -> Op:
    name = f"avg_pool{dims}d"
    more = ", divisor_override=None" if dims > 1 else ""
    size = (5,) * dims
    return Op(
        name=name,
        parameters=(
            "input, kernel_size, stride=None, padding=0, ceil_mode=False, "
            f"count_include_pad=True{more}"
        ),
        run=getattr(F, name),
        spellings=_callables(name),
        axes=_axes(dims, " | lin ..."),
        bounds=_avg_bounds,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, *size), "kernel_size": 2},
                {"input": d(2, 3, *size), "kernel_size": 3, "stride": 1, "padding": 1},
                {"input": d(2, *size), "kernel_size": 2, "ceil_mode": True},
                *(
                    [{"input": d(2, 3, *size), "kernel_size": 2, "divisor_override": 1}]
                    if dims > 1
                    else []
                ),
            )
        ),
    )


def _adaptive(kind: str, dims: int) -> Op:
    name = f"adaptive_{kind}_pool{dims}d"
    size = (6,) * dims
    linear = kind == "avg"
    own = "input, output_size"
    functional = own if linear else f"{own}, !return_indices=False"
    return Op(
        name=name,
        parameters=own,
        run=getattr(F, name),
        spellings=(
            Spelling(getattr(F, name), functional),
            # torch's own adaptive max pools return the indices as well
            *(_callables(name)[1:] if linear else ()),
        ),
        axes=_axes(dims, " | lin ..." if linear else ""),
        bounds=same,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, *size), "output_size": 2},
                {"input": d(2, *size), "output_size": 1},
                {"input": d(2, 1, *size), "output_size": 4},
            )
        ),
    )


def _lp_pool(dims: int) -> Op:
    name = f"lp_pool{dims}d"
    size = (5,) * dims
    return Op(
        name=name,
        parameters="input, norm_type, kernel_size, stride=None, ceil_mode=False",
        run=getattr(F, name),
        spellings=(getattr(F, name),),
        axes=_axes(dims),
        bounds=lambda a, of: NON_NEGATIVE if of(a["input"]).low >= 0 else ANYTHING,
        keeps_zero=True,
        samples=samples(
            lambda d: (
                {"input": d(2, 3, *size), "norm_type": 2.0, "kernel_size": 2},
                {"input": d.positive(2, 3, *size), "norm_type": 3, "kernel_size": 2, "stride": 1},
            )
        ),
    )


OPS = tuple(
    op
    for dims in (1, 2, 3)
    for op in (
        _max_pool(dims),
        _avg_pool(dims),
        _adaptive("max", dims),
        _adaptive("avg", dims),
        _lp_pool(dims),
    )
)
