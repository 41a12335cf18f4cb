"""What models are run on modulo a prime: random residues, and the whole numbers of the user's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from morphir.field.residues import Residues, Run
from morphir.tensors import map_tensors

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def draw_arguments(
    given: Arguments, longer: Arguments, run: Run, *, shuffled: bool, flipped: int
) -> tuple[Arguments, Arguments]:
    """Arguments of two models: random residues in the place of floats.

    Args:
        given: Arguments of the first.
        longer: The same of the second: where they have more positions, the first ones are those of
            the first model. A tensor that is given twice may have more in one place only.
        run: Where they are drawn.
        shuffled: Whether whole numbers are brought into another order.
        flipped: The order of the rows is reversed in tensors with so many, if not 0.
    """
    drawn: dict[int, torch.Tensor] = {}
    narrowed: dict[int, torch.Tensor] = {}
    for old, new in zip(_tensors(given), _tensors(longer), strict=True):
        residues = _drawn(new, run, shuffled=shuffled and new.shape == old.shape)
        if flipped and new.dim() and len(new) == flipped:
            residues = residues.flip(0)
        drawn[id(new)] = part = residues
        for axis, size in enumerate(old.shape):
            part = part.narrow(axis, 0, size)
        narrowed[id(old)] = part.copy_(narrowed.get(id(old), part))

    def wrapped(parts: Mapping[int, torch.Tensor]) -> Callable[[torch.Tensor], torch.Tensor]:
        def wrap(tensor: torch.Tensor) -> torch.Tensor:
            part = parts[id(tensor)].clone()
            return Residues(part, tensor.dtype, run) if tensor.is_floating_point() else part

        return wrap

    return map_tensors(given, wrapped(narrowed)), map_tensors(longer, wrapped(drawn))


def batch_size(given: Arguments, longer: Arguments) -> int:
    """How many rows the first tensor has that has any; 1 where an input has more in one of both."""
    both = [*zip(_tensors(given), _tensors(longer), strict=True)]
    if any(old.shape[:1] != new.shape[:1] for old, new in both):
        return 1
    return next((len(old) for old, _ in both if old.dim()), 1)


def different_rows(given: Arguments, size: int) -> int:
    """How many of so many rows differ: all where there are floats, which are drawn."""
    rows = [tensor for tensor in _tensors(given) if tensor.dim() and len(tensor) == size]
    if any(tensor.is_floating_point() for tensor in rows):
        return size
    table = torch.cat([each.reshape(size, -1).long() for each in rows], 1)
    return len({tuple(row) for row in table.tolist()})


def _drawn(tensor: torch.Tensor, run: Run, *, shuffled: bool) -> torch.Tensor:
    if tensor.is_floating_point():
        return run.draw(tensor.shape, tensor.device)
    if not shuffled:
        return tensor.clone()
    order = run.draw([tensor.numel()]).argsort()
    return tensor.reshape(-1)[order].reshape(tensor.shape)


def _tensors(arguments: Arguments) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        found.append(tensor)
        return tensor

    map_tensors(arguments, note)
    return found
