"""Data that passes are given: inputs in the form of `example_inputs`, run through a program."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from morphir.errors import RefusalError
from morphir.ir import Graph
from morphir.ops.replay import Replay, Unreplayable, replay
from morphir.tensors import tensors_in

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
Data = Mapping[str, Arguments]  # entry point to arguments
Loss = Callable[[Any], torch.Tensor]


def run_on(graph: Graph, state: Mapping[str, torch.Tensor], arguments: Arguments) -> Replay:
    """Computes an entry point on data.

    Raises:
        RefusalError: The data are no arguments of it.
    """
    given = [tensor for _, tensor in tensors_in(arguments)]
    if len(given) != len(graph.inputs):
        expected = ", ".join(value.name for value in graph.inputs)
        raise RefusalError(
            f"data= has {len(given)} tensors for {graph.name!r}, which takes {expected}",
            suggestions=["data= in the form of example_inputs="],
        )
    for tensor in given:
        _check_numbers(tensor)
    try:
        return replay(graph, state, given)
    except (Unreplayable, RuntimeError, ValueError, TypeError) as error:
        raise RefusalError(
            f"{graph.name!r} can't be run on data=: {error}",
            suggestions=["data= in the form of example_inputs="],
        ) from error


def total_of(loss: Loss, outputs: Sequence[torch.Tensor], name: str) -> torch.Tensor:
    """The loss of what an entry point returns.

    Raises:
        RefusalError: It is not one finite number that depends on the outputs.
    """
    try:
        total = loss(outputs[0] if len(outputs) == 1 else tuple(outputs))
    except Exception as error:
        raise RefusalError(
            f"loss= raised {type(error).__name__} on what {name!r} returns: {error}",
            suggestions=["loss=lambda output: torch.nn.functional.mse_loss(output, targets)"],
        ) from error
    if not isinstance(total, torch.Tensor) or total.numel() != 1 or not total.requires_grad:
        found = tuple(total.shape) if isinstance(total, torch.Tensor) else type(total).__name__
        raise RefusalError(
            f"loss= returned {found} for {name!r}, expected one number that depends on the output",
            suggestions=["loss=lambda output: torch.nn.functional.mse_loss(output, targets)"],
        )
    if not total.isfinite().all():
        raise RefusalError(
            f"loss= returned {total.item()} for {name!r}, expected a finite number",
            suggestions=["loss=lambda output: torch.nn.functional.mse_loss(output, targets)"],
        )
    return total.sum()


def _check_numbers(tensor: torch.Tensor) -> None:
    """Nothing follows from no rows, and from NaN anything might."""
    shape = tuple(tensor.shape)
    if not tensor.numel():
        raise RefusalError(f"data= has a tensor of shape {shape}, which is empty")
    if not bool(tensor.isfinite().all()):
        raise RefusalError(f"data= has a tensor of shape {shape} that is not finite everywhere")
