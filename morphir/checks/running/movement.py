"""Bounds of what only moves numbers, which their bounds do along."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.checks.running.operands import Bound, Operands, Rule, Unknown

_T = torch.Tensor


def _moved(operands: Operands, func: Any) -> tuple[_T, Bound]:
    if any(each is True for each in operands.args[3:]):  # index_put may add up
        raise Unknown
    return operands.call(func), operands.moved(func)


def _joined(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Of what takes numbers from several tensors, of which some may be whole."""
    return operands.call(func), operands.moved(func, says_where=False)


def _filled(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Of what puts a number into some places."""
    if operands.kwargs:  # or adds it up there
        raise Unknown
    result = operands.call(func)
    if operands.are_exact:
        return result, None
    x, *rest = operands.args
    *places, number = rest
    off = operands.bounds(number) if isinstance(number, _T) else 0.0
    return result, func(operands.bounds(x), *places, off)


def _padded(operands: Operands, func: Any) -> tuple[_T, Bound]:
    x, pad = operands.args[:2]
    return operands.call(func), func(operands.bounds(x), pad, 0.0)


def _fresh(operands: Operands, func: Any) -> tuple[_T, Bound]:
    """Of what is like its operand in shape only."""
    return operands.call(func), None


def _cast(operands: Operands, func: Any) -> tuple[_T, Bound]:
    x = operands.args[0]
    result = operands.call(func)
    if operands.are_exact and not result.is_floating_point():
        return result, None
    if not x.is_floating_point() or result.dtype == x.dtype:
        return result, operands.bound(x)
    if not result.is_floating_point():
        raise Unknown
    return result, operands.bounds(x) + (result.double() - x.double()).abs()


def _largest_of_windows(operands: Operands, func: Any) -> tuple[Any, Any]:
    """Of a maximum over windows: off by what the most doubtful number of the window is."""
    x, *rest = operands.args
    result = operands.call(func)
    if operands.are_exact:
        return result, (None, None)
    widest, _ = func(operands.bounds(x), *rest, **operands.kwargs)
    return result, (widest, torch.full(widest.shape, torch.inf, dtype=torch.float64))


RULES: Final[Mapping[str, Rule]] = {
    **dict.fromkeys(
        ("_unsafe_view", "clone", "diag_embed", "embedding", "flip", "gather", "im2col",
         "index", "index_copy", "index_put", "index_select", "lift_fresh",
         "masked_select", "native_channel_shuffle", "pixel_shuffle", "pixel_unshuffle",
         "reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "repeat",
         "repeat_interleave", "replication_pad1d", "replication_pad2d", "replication_pad3d",
         "roll", "select_scatter", "slice_scatter", "tril", "triu",
         "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
        _moved,
    ),
    **dict.fromkeys(("cat", "copy", "stack"), _joined),
    **dict.fromkeys(("masked_fill", "index_fill", "scatter", "fill"), _filled),
    "constant_pad_nd": _padded,
    **dict.fromkeys(
        ("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like",
         "new_zeros", "new_ones", "new_full", "new_empty", "zero", "bernoulli"),
        _fresh,
    ),
    "_to_copy": _cast,
    "max_pool2d_with_indices": _largest_of_windows,
    "max_pool3d_with_indices": _largest_of_windows,
}  # fmt: skip
