"""Exports a module to ONNX and checks the file against the module.

ONNX-2   a file that does not agree with the module (ONNX-1) is not written
"""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

from torch import nn

from morphir.cloning import replica
from morphir.errors import RefusalError
from morphir.export.admission import (
    arguments_of,
    check_forward,
    check_output_names,
    outputs_of,
)
from morphir.export.comparing import CHECKED_SIZES, batches_of, compare, first_line
from morphir.export.graph import export_graph
from morphir.lineage import lineages_in
from morphir.state.files import atomic_path, flush
from morphir.versions import library_versions

EXTERNAL_ABOVE: Final = 1536 * 2**20  # bytes of weights; protobuf ends at 2 GiB, graph included
_FATAL: Final = 4  # onnxruntime's log level


@final
@dataclass(frozen=True)
class OnnxReport:
    """What was exported and how it compares.

    Attributes:
        path: The file.
        size: Bytes written, those of a separate weights file included.
        opset: Version of the operator set.
        inputs: Name to shape, whose first axis is `"batch"` where it is dynamic.
        outputs: The same of the outputs.
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
    inputs: Mapping[str, tuple[int | str, ...]]
    outputs: Mapping[str, tuple[int | str, ...]]
    batch_sizes: tuple[int, ...]
    max_relative_error: float
    integers_equal: bool
    metadata: Mapping[str, str]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.path}: {self.size / 1024:.0f} KiB, opset {self.opset}, "
            f"{_listed(self.inputs)} -> {_listed(self.outputs)}\n"
            f"  onnxruntime against torch at batch sizes {', '.join(map(str, self.batch_sizes))}: "
            f"worst relative difference {self.max_relative_error:.1e}, integer outputs "
            f"{'equal' if self.integers_equal else 'DIFFERENT'} ({self.seconds:.1f} s)"
        )


def export_onnx(
    module: nn.Module,
    path: str | os.PathLike[str],
    *,
    example_inputs: Any,
    output_names: Sequence[str] | None = None,
) -> OnnxReport:
    """Exports a module with a dynamic batch and compares the file in onnxruntime with the module.

    What is exported is `forward` as in eval mode. Weights of more than 1.5 GiB go into a file of
    their own beside it, as ONNX demands.

    Args:
        module: The module; it is left as it is.
        path: File to write, atomically.
        example_inputs: A tuple of positional tensors.
        output_names: A name for each tensor that `forward` returns; by default torch's exporter
            names them after what computes them.

    Raises:
        RefusalError: The extra `onnx` is not installed, the inputs or names do not fit, the module
            draws random numbers in eval mode, or torch can't export it.
        VerificationError: The file computes something else; it is not written.
        StorageError: The path cannot be written.
    """
    start = time.perf_counter()
    onnx, runtime, onnx_ir = _libraries()
    check_forward(module)
    args, size = arguments_of(example_inputs)
    names = check_output_names(output_names, len(outputs_of(module, args)))
    metadata = _metadata(module)
    twin = replica(module).eval()
    target = Path(os.path.realpath(path))
    weights = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.data")
    try:
        with atomic_path(target) as temporary:
            program = export_graph(twin, args, size, names)
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
        {each.name: tuple(each.shape) for each in session.get_inputs()},
        {each.name: tuple(each.shape) for each in session.get_outputs()},
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


def weight_bytes(model: Any) -> int:
    """Bytes of the weights of an ONNX model."""
    values = (each.const_value for each in model.graph.initializers.values())
    return sum(value.nbytes for value in values if value is not None)


def _session(runtime: Any, path: Path) -> Any:
    options = runtime.SessionOptions()
    options.log_severity_level = _FATAL  # it writes to stderr what it raises too
    try:
        return runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise RefusalError(
            f"onnxruntime can't run the file on a CPU, so it can't be checked: {first_line(error)}",
            suggestions=["copy.deepcopy(module).float(), with float32 inputs"],
        ) from error


def _listed(values: Mapping[str, tuple[int | str, ...]]) -> str:
    """Names with shapes, `x[batch, 4]`."""
    return ", ".join(f"{name}[{', '.join(map(str, shape))}]" for name, shape in values.items())


def _remove_old_weights(target: Path, weights: Path) -> None:
    """Deletes the weights of a file that was overwritten."""
    pattern = re.compile(rf"{re.escape(target.name)}\.[0-9a-f]{{8}}\.data")
    for other in target.parent.iterdir():
        if pattern.fullmatch(other.name) and other.name != weights.name:
            other.unlink(missing_ok=True)
