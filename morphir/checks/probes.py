"""Inputs that try to tell two models apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import torch
from torch import nn

from morphir.checks.calling import Arguments, entry_point_of
from morphir.checks.power import LiftToDouble, SwitchRecord
from morphir.randomness import seed_random_state
from morphir.tensors import map_tensors

GIVEN: Final = "the given inputs"
SCALES: Final = (1e-3, 1.0, 10.0, 1e3)
_STEPS: Final = (1.0, 10.0, 100.0)  # of waking, relative to the size of the input


def probes(arguments: Any) -> Iterator[tuple[str, Any]]:
    """Yields variations of example arguments, each with what it is.

    Floating-point tensors become normal noise at four scales, signed one-hots and constants;
    integer and boolean tensors, whose admissible values are not known, only change rows. Shapes
    stay. Draws from torch's global random state.
    """
    yield GIVEN, arguments
    for scale in SCALES:
        yield f"noise x{scale:g}", map_tensors(arguments, partial(_noise, scale=scale))
    yield "one-hots", map_tensors(arguments, _one_hots)
    yield "ones", map_tensors(arguments, lambda t: _constant(t, 1.0))
    yield "zeros", map_tensors(arguments, lambda t: _constant(t, 0.0))


def waking_probes(
    model: nn.Module, entry_point: str, arguments: Arguments, record: SwitchRecord
) -> Iterator[tuple[str, Arguments]]:
    """Yields inputs that a gradient step moved towards switching units that never were.

    Stops when all were, or when no gradient reaches the inputs. Seeds the random state.

    Args:
        model: A private copy in float64.
        entry_point: What to call.
        arguments: Arguments in float64 to start from.
        record: What the earlier probes switched; it is used for these runs too.
    """
    for step in _STEPS:
        if record.share in (None, 1.0):
            return
        moved = _towards_sleeping(model, entry_point, arguments, record, step)
        if moved is None:
            return
        yield f"waking x{step:g}", moved


def _towards_sleeping(
    model: nn.Module, entry_point: str, arguments: Arguments, record: SwitchRecord, step: float
) -> Arguments | None:
    leaves: list[torch.Tensor] = []

    def leaf(tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.detach().clone()
        if copied.is_floating_point():
            leaves.append(copied.requires_grad_())
        return copied

    args, kwargs = map_tensors(arguments, leaf)
    seed_random_state(1)
    with record, LiftToDouble(), torch.enable_grad():
        record.start_run(entry_point)
        entry_point_of(model, entry_point)(*args, **kwargs)
    if record.pull is None or not leaves:
        return None
    found = torch.autograd.grad(record.pull, leaves, allow_unused=True)
    if all(gradient is None or not gradient.any() for gradient in found):
        return None
    gradients = {id(t): g for t, g in zip(leaves, found, strict=True)}

    def move(tensor: torch.Tensor) -> torch.Tensor:
        gradient = gradients.get(id(tensor))
        if gradient is None:
            return tensor.detach()
        size = tensor.detach().square().mean().sqrt().clamp(min=1.0)
        return tensor.detach() + step * size * gradient.sign()

    moved: Arguments = map_tensors((args, kwargs), move)
    return moved


def _noise(tensor: torch.Tensor, scale: float) -> torch.Tensor:
    if tensor.is_floating_point():
        return torch.randn_like(tensor) * scale
    return tensor.roll(1, 0) if tensor.dim() else tensor


def _constant(tensor: torch.Tensor, number: float) -> torch.Tensor:
    return torch.full_like(tensor, number) if tensor.is_floating_point() else tensor


def _one_hots(tensor: torch.Tensor) -> torch.Tensor:
    if not tensor.is_floating_point() or tensor.dim() == 0 or tensor.numel() == 0:
        return tensor
    rows = tensor.new_zeros(tensor.shape).reshape(tensor.shape[0], -1)
    positions = torch.randint(rows.shape[1], (rows.shape[0],), device=tensor.device)
    signs = torch.randint(2, (rows.shape[0],), device=tensor.device) * 2 - 1
    rows[torch.arange(rows.shape[0], device=tensor.device), positions] = signs.to(rows.dtype)
    return rows.reshape(tensor.shape)
