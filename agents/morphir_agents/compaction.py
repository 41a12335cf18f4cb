"""A sparse policy as it is shipped: without the units that do nothing, beside its dense twin.

    DEPLOY-3   the compacted policy returns what the policy returns, PROVED (COMPACT-1)

A policy with masks is exported with their zeros in it, so it is as large and as slow as a dense one
of its widths: its dense twin. Units that nothing reads, or that are 0, can go. What that saves is
measured here, much or little.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, final

import numpy as np
import torch

import morphir
from morphir_agents.deploy import Deployed

__all__ = ["Compacted", "compact_policy"]

_BATCHES = (1, 256)
_RUNS = 200


@final
@dataclass(frozen=True)
class Compacted:
    """A compacted policy and its dense twin, in numbers; pairs are (compacted, dense)."""

    grade: str
    """Of the compaction."""
    parameters: tuple[int, int]
    in_use: int
    """Parameters of the policy that are not 0."""
    bytes: tuple[int, int]
    """Of the ONNX files."""
    microseconds: Mapping[int, tuple[float, float]]
    """Median time of a run in onnxruntime on one thread, by batch size."""

    def __str__(self) -> str:
        times = ", ".join(
            f"batch {batch}: {own:.0f} against {twin:.0f} us"
            for batch, (own, twin) in self.microseconds.items()
        )
        return (
            f"compacted ({self.grade}): {self.parameters[0]:,} of {self.parameters[1]:,} parameters"
            f", of which {self.in_use:,} are not 0; {self.bytes[0] / 1024:.0f} against "
            f"{self.bytes[1] / 1024:.0f} KiB; {times}"
        )


def compact_policy(deployed: Deployed, dense: Path, path: Path, example: torch.Tensor) -> Compacted:
    """Remove what does nothing from a policy, export it, and time it beside the dense one.

    Args:
        deployed: The policy, which stays as it is.
        dense: Where it was exported to.
        path: Where the compacted one goes.
        example: Raw observations.
    """
    result = morphir.transform(deployed, morphir.CompactPass(), example_inputs=(example,))
    report = morphir.export_onnx(
        result.module,
        path,
        example_inputs=(example,),
        output_names=deployed.output_names,
    )
    return Compacted(
        grade=result.report.grade.name,
        parameters=(_count(result.module), _count(deployed)),
        in_use=sum(int(each.count_nonzero()) for each in deployed.parameters()),
        bytes=(report.size, dense.stat().st_size),
        microseconds=_timed(path, dense, example.numpy()),
    )


def _count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _timed(path: Path, dense: Path, example: np.ndarray) -> dict[int, tuple[float, float]]:
    """Both in turns, so that what else the machine does slows both."""
    sessions = _session(path), _session(dense)
    found = {}
    for batch in _BATCHES:
        given = {"observation": np.resize(example, (batch, *example.shape[1:]))}
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(_RUNS):
            for session, own in zip(sessions, times, strict=True):
                start = time.perf_counter()
                session.run(["action"], given)
                own.append(1e6 * (time.perf_counter() - start))
        found[batch] = (round(median(times[0]), 1), round(median(times[1]), 1))
    return found


def _session(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
