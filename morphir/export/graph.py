"""Runs torch's exporter, quietly, and says in one line why it failed."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.export.comparing import Row, first_line, rows_of
from morphir.randomness import forked_random_state

_EXPORTED_SIZE: Final = 3


def export_graph(
    module: nn.Module, args: Row, size: int, output_names: Sequence[str] | None = None
) -> Any:
    """The `torch.onnx.ONNXProgram` of a module, with a dynamic batch.

    Raises:
        RefusalError: Torch can't export it, or an output's name is taken.
    """
    name = type(module).__name__
    try:
        program = _export(module, args, size, output_names)
    except Exception as error:
        cause = _root(error)
        raise RefusalError(
            f"torch can't export the {name}: {type(cause).__name__}: {first_line(cause)}",
            suggestions=["a forward that calls torch only and does not branch on values"],
        ) from error
    inputs = zip(program.model.graph.inputs, args, strict=True)
    fixed = [each.name for each, arg in inputs if _is_batch(arg, size) and each.shape.is_static(0)]
    if fixed:
        raise RefusalError(
            f"torch can't export the {name} with a dynamic batch: it fixes that of {fixed[0]!r}",
            suggestions=["a forward that neither branches on the batch size nor fixes it"],
        )
    _check_names(program.model.graph, output_names or ())
    return program


def _check_names(graph: Any, output_names: Sequence[str]) -> None:
    computed = (value for node in graph for value in node.outputs)
    others = (*graph.inputs, *graph.initializers.values(), *computed)
    taken = {v.name for v in others if not v.is_graph_output()}
    both = [name for name in output_names if name in taken]
    if both:
        raise RefusalError(
            f"output_names has {both[0]!r}, which is the name of another value of the graph",
            suggestions=[f"output_names= with {both[0] + '_output'!r}"],
        )


def _export(module: nn.Module, args: Row, size: int, output_names: Sequence[str] | None) -> Any:
    batch = torch.export.Dim("batch")
    with _quiet(), forked_random_state(0):
        return torch.onnx.export(
            module,
            rows_of(args, size, _EXPORTED_SIZE),
            dynamo=True,
            dynamic_shapes=tuple({0: batch} if _is_batch(each, size) else None for each in args),
            output_names=output_names,
            verbose=False,
        )


def _is_batch(arg: torch.Tensor, size: int) -> bool:
    return arg.dim() > 0 and arg.shape[0] == size


def _root(error: BaseException) -> BaseException:
    """The exception that the exporter wrapped, in its own words."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns about its own internals, logs every step and prints graphs."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # of its loggers too many have handlers of their own
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
