"""Inputs on which two models differ, made small enough to read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast, final

import torch

from morphir.checks.calling import Arguments
from morphir.tensors import map_tensors, tensors_in

_TRIED: Final = 64  # rows
_LONGEST: Final = 400  # characters that are printed


def single_row(arguments: Arguments, differs: Callable[[Arguments], bool]) -> Arguments:
    """The first row of a batch on which the models differ alone; else the arguments as they are.

    Args:
        arguments: Where they differ; they have rows if all tensors have the same first size.
        differs: Whether the models differ on others.
    """
    sizes = {tensor.shape[0] if tensor.dim() else 0 for _, tensor in tensors_in(arguments)}
    if len(sizes) != 1:
        return arguments
    for row in range(min(*sizes, _TRIED)):
        alone: Arguments = map_tensors(arguments, partial(_row, row=row))
        if differs(alone):
            return alone
    return arguments


def _row(tensor: torch.Tensor, row: int) -> torch.Tensor:
    return tensor[row : row + 1]


def written(arguments: Arguments) -> str:
    """Arguments as they could be typed, to the bit, or where to find them if that is long."""
    args, kwargs = map_tensors(arguments, cast("Any", _Literal))
    text = repr((args, kwargs) if kwargs else args)
    if len(text) <= _LONGEST:
        return text
    shapes = ", ".join(f"{list(tensor.shape)}" for _, tensor in tensors_in(arguments))
    return f"tensors of shapes {shapes}, which the check's `arguments` are"


@final
class _Literal:
    """A tensor that prints as the expression that makes it."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self._tensor = tensor

    def __repr__(self) -> str:
        if self._tensor.numel() > _LONGEST:
            return "..." * _LONGEST
        return f"torch.tensor({self._tensor.tolist()!r}, dtype={self._tensor.dtype})"
