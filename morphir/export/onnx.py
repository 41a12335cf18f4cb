"""Exports a module to ONNX and checks the file against the module.

ONNX-2   a file that does not agree with the module (ONNX-1) is not written
"""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import torch
from torch import nn

from morphir.cloning import replica
from morphir.errors import RefusalError
from morphir.export.comparing import CHECKED_SIZES, Row, batches_of, compare, rows_of
from morphir.frontend import check_module
from morphir.frontend.inputs import given_inputs
from morphir.lineage import lineages_in
from morphir.randomness import forked_random_state
from morphir.state.files import atomic_path, flush
from morphir.versions import library_versions

EXTERNAL_ABOVE: Final = 1536 * 2**20  # bytes of weights; protobuf ends at 2 GiB, graph included
_EXPORTED_SIZE: Final = 3


@final
@dataclass(frozen=True)
class OnnxReport:
    """What was exported and how it compares.

    Attributes:
        path: The file.
        size: Bytes written, those of a separate weights file included.
        opset: Version of the operator set.
        inputs: Names and shapes.
        outputs: Names and shapes.
        batch_sizes: Batch sizes on which it was run in onnxruntime.
        max_relative_error: Largest difference to the module, relative to the root mean square of
            the output.
        integers_equal: Whether all other outputs (actions) were equal.
        metadata: What the file says about itself.
        seconds: Time for export and check.
    """

    path: str
    size: int
    opset: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    max_relative_error: float
    integers_equal: bool
    metadata: dict[str, str]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.size / 1024:.0f} KiB, opset {self.opset}, "
            f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}\n"
            f"  onnxruntime against torch at batch sizes {', '.join(map(str, self.batch_sizes))}: "
            f"worst relative difference {self.max_relative_error:.1e}, integer outputs "
            f"{'equal' if self.integers_equal else 'DIFFERENT'} ({self.seconds:.1f} s)"
        )


def export_onnx(
    module: nn.Module, path: str | os.PathLike[str], *, example_inputs: Any
) -> OnnxReport:
    """Exports a module with a dynamic batch and compares the file in onnxruntime with the module.

    What is exported is `forward` as in eval mode. Weights of more than 1.5 GiB go into a file of
    their own beside it, as ONNX demands.

    Args:
        module: The module; it is left as it is.
        path: File to write, atomically.
        example_inputs: A tuple of positional tensors.

    Raises:
        RefusalError: The extra `onnx` is not installed, the inputs do not fit, or torch can't
            export the module.
        VerificationError: The file computes something else; it is not written.
        StorageError: The path cannot be written.
    """
    start = time.perf_counter()
    onnx, runtime, onnx_ir = _libraries()
    _check_forward(module)
    args, size = _arguments(example_inputs)
    _check_inputs(module, args)
    metadata = _metadata(module)
    twin = replica(module).eval()
    target = Path(os.path.realpath(path))
    weights = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.data")
    try:
        with atomic_path(target) as temporary:
            program = _export(twin, args, size)
            program.model.metadata_props.update(metadata)
            is_large = weight_bytes(program.model) > EXTERNAL_ABOVE
            external = weights.name if is_large else None
            onnx_ir.save(program.model, temporary, format="protobuf", external_data=external)
            session = _session(runtime, temporary)
            comparison = compare(session, batches_of(twin, args, size))
            comparison.check()
            opsets = onnx.load(temporary, load_external_data=False).opset_import
            if is_large:
                flush(weights)
            files = [temporary, *([weights] if is_large else [])]
            bytes_ = sum(file.stat().st_size for file in files)
    except BaseException:
        weights.unlink(missing_ok=True)
        raise
    _remove_old_weights(target, weights)
    return OnnxReport(
        str(path),
        bytes_,
        next(each.version for each in opsets if each.domain == ""),
        tuple(map(_signature, session.get_inputs())),
        tuple(map(_signature, session.get_outputs())),
        CHECKED_SIZES,
        comparison.worst,
        comparison.equal,
        metadata,
        time.perf_counter() - start,
    )


def _libraries() -> tuple[Any, Any, Any]:
    try:
        import onnx
        import onnx_ir
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter needs it
    except ImportError as error:
        raise RefusalError(
            f"exporting needs {error.name}, which is not installed",
            suggestions=["pip install 'morphir[onnx]'"],
        ) from error
    return onnx, onnxruntime, onnx_ir


def _check_forward(module: nn.Module) -> None:
    check_module(module)
    if getattr(module.forward, "__name__", "") == "_forward_unimplemented":
        raise RefusalError(
            f"{type(module).__name__} has no forward, and ONNX files have no other entry point",
            suggestions=["a module whose forward calls the method to export"],
        )


def _arguments(example_inputs: Any) -> tuple[Row, int]:
    """The positional tensors and their batch size."""
    args, kwargs = given_inputs(example_inputs, ("forward",))["forward"]
    if kwargs or not all(isinstance(each, torch.Tensor) for each in args):
        raise RefusalError(
            "export_onnx takes positional tensors only", suggestions=["example_inputs=(x,)"]
        )
    if any(each.dtype is torch.bfloat16 for each in args):
        raise RefusalError(
            "an input is bfloat16, which onnxruntime's CPU kernels can't check",
            suggestions=["copy.deepcopy(module).float(), with float32 inputs"],
        )
    size = next((each.shape[0] for each in args if each.dim()), 0)
    if not size:
        raise RefusalError(
            "the example inputs have no batch dimension, or no rows",
            suggestions=["example_inputs=(x,) with x of shape (batch, ...)"],
        )
    return args, size


def _check_inputs(module: nn.Module, args: Row) -> None:
    """Calls a copy once: torch's exporter reports inputs that don't fit on fifty lines."""
    try:
        with forked_random_state(0), torch.no_grad():
            replica(module).eval()(*(each.clone() for each in args))
    except Exception as error:
        raise RefusalError(
            f"{type(module).__name__} does not run on the example inputs: "
            f"{type(error).__name__}: {error}",
            suggestions=["example_inputs= with what forward takes"],
        ) from error


def _metadata(module: nn.Module) -> dict[str, str]:
    """Who made the file, from what; of every lineage in the module the hash."""
    hashes = {name or "model": lineage.hash for name, lineage in lineages_in(module).items()}
    lineage = hashes["model"] if [*hashes] == ["model"] else ""
    listed = lineage or ", ".join(f"{name} {each}" for name, each in hashes.items()) or "none"
    versions = library_versions("onnx", "onnxscript", "onnxruntime")
    return {
        **{f"{name}_version": each for name, each in versions.items()},
        "model_class": type(module).__name__,
        "lineage_sha256": listed,
    }


def _export(module: nn.Module, args: Row, size: int) -> Any:
    example = rows_of(args, size, _EXPORTED_SIZE)
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if a.dim() and a.shape[0] == size else None for a in args)
    try:
        with _quiet(), forked_random_state(0):
            return torch.onnx.export(
                module, example, dynamo=True, dynamic_shapes=shapes, verbose=False
            )
    except Exception as error:
        raise RefusalError(
            f"torch can't export the {type(module).__name__} with a dynamic batch: "
            f"{type(error).__name__}: {error}",
            suggestions=["a forward that neither branches on values nor fixes the batch size"],
        ) from error


def weight_bytes(model: Any) -> int:
    """Bytes of the weights of an ONNX model."""
    values = (each.const_value for each in model.graph.initializers.values())
    return sum(value.nbytes for value in values if value is not None)


def _session(runtime: Any, path: Path) -> Any:
    try:
        return runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RefusalError(
            f"onnxruntime can't run the file on a CPU, so it can't be checked: {error}",
            suggestions=["copy.deepcopy(module).float(), with float32 inputs"],
        ) from error


def _signature(value: Any) -> str:
    """A name with its shape, `x[batch, 4]`."""
    return f"{value.name}[{', '.join(map(str, value.shape))}]"


def _remove_old_weights(target: Path, weights: Path) -> None:
    """Deletes the weights of a file that was overwritten."""
    pattern = re.compile(rf"{re.escape(target.name)}\.[0-9a-f]{{8}}\.data")
    for other in target.parent.iterdir():
        if pattern.fullmatch(other.name) and other.name != weights.name:
            other.unlink(missing_ok=True)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torch's exporter warns about its own internals and logs every step."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
