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
_MOST: Final = 32  # numbers that are made simpler
_DECIMALS: Final = 4


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


def simplest(arguments: Arguments, differs: Callable[[Arguments], bool]) -> Arguments:
    """Arguments with more zeros and shorter numbers on which the models still differ.

    Args:
        arguments: Where they differ. If these are many numbers they stay as they are.
        differs: Whether the models differ on others.
    """
    floats = [tensor for _, tensor in tensors_in(arguments) if tensor.is_floating_point()]
    size = sum(tensor.numel() for tensor in floats)
    if size > _MOST:
        return arguments
    for number in range(size):
        fewer = _cleared(arguments, number)
        if differs(fewer):
            arguments = fewer
    for decimals in range(_DECIMALS):
        shorter: Arguments = map_tensors(arguments, partial(_rounded, decimals=decimals))
        if differs(shorter):
            return shorter
    return arguments


def _rounded(tensor: torch.Tensor, decimals: int) -> torch.Tensor:
    return tensor.round(decimals=decimals) + 0.0 if tensor.is_floating_point() else tensor


def _cleared(arguments: Arguments, number: int) -> Arguments:
    """The arguments with one of their numbers 0."""
    before = 0

    def clear(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal before
        if not tensor.is_floating_point():
            return tensor
        position, before = number - before, before + tensor.numel()
        if not 0 <= position < tensor.numel():
            return tensor
        flat = tensor.flatten().clone()
        flat[position] = 0
        return flat.reshape(tensor.shape)

    cleared: Arguments = map_tensors(arguments, clear)
    return cleared


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
