"""Checkpoints: written whole or not at all, and never a pickle.

A checkpoint is a folder `checkpoints/<step>` with two safetensors files: `agent` (weights,
optimizer and lineage, written by `morphir.save`) and `state` (counters, and what the algorithm
keeps: running moments, a replay buffer). It is written under another name and renamed, so a folder
with the right name is complete.

No generator state is stored: at every grid point all randomness is derived anew from (seed, step),
in killed and unkilled runs alike.

    CKPT-1   killed at any moment and resumed: bit-identical weights and metrics as without the kill
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

import morphir
from morphir_agents.errors import CheckpointError

__all__ = ["Progress", "crosses_grid", "latest", "load", "save"]

_AGENT, _STATE = "agent.safetensors", "state.safetensors"
_FORMAT = 1
_KEEP = 2

AgentT = TypeVar("AgentT", bound=nn.Module)
OptimizersT = TypeVar("OptimizersT")


@final
@dataclass(frozen=True)
class Progress:
    """How far a run is: everything to store beside the agent and its optimizer."""

    step: int
    update: int
    grown: int
    """Growth events done."""
    arrays: dict[str, np.ndarray]
    """What an algorithm keeps, by name: running moments, a replay buffer."""


def crosses_grid(before: int, after: int, every: int) -> bool:
    """Whether a multiple of `every` lies in (before, after]: the fixed grid of steps."""
    return after // every > before // every


def save(folder: Path, agent: nn.Module, optimizer: Any, progress: Progress) -> Path:
    """Write a checkpoint and drop all but the newest two."""
    final = folder / f"{progress.step:012d}"
    partial = folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    morphir.save(agent, partial / _AGENT, optimizer=optimizer)
    header = {
        "format": _FORMAT,
        "step": progress.step,
        "update": progress.update,
        "grown": progress.grown,
    }
    # safetensors has no empty file: the marker keeps it valid when there is nothing to store.
    arrays = {
        "marker": np.zeros(1),
        **{k: np.asarray(v).copy() for k, v in progress.arrays.items()},
    }
    save_file(arrays, partial / _STATE, metadata={"morphir_agents": json.dumps(header)})
    for file in (partial / _AGENT, partial / _STATE):
        _flush(file)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _flush(folder)

    for old in _complete(folder)[:-_KEEP]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint."""
    found = _complete(folder)
    return found[-1] if found else None


def load(
    path: Path,
    factory: Callable[[], AgentT],
    optimizer: Callable[[nn.Module], OptimizersT],
) -> tuple[AgentT, OptimizersT, Progress]:
    """Read a checkpoint: the lineage is replayed on a fresh agent, then its weights are filled in.

    Raises:
        CheckpointError: It is corrupt, incomplete or of another version; nothing was changed.
    """
    try:
        with safe_open(path / _STATE, framework="np") as file:
            header = json.loads((file.metadata() or {})["morphir_agents"])
            arrays = {key: file.get_tensor(key) for key in file.keys() if key != "marker"}  # noqa: SIM118
        if header["format"] != _FORMAT:
            raise CheckpointError(
                f"The checkpoint {path} has format {header['format']}; this version reads format "
                f"{_FORMAT}."
            )
        progress = Progress(header["step"], header["update"], header["grown"], arrays)
        agent, restored = morphir.load(path / _AGENT, factory, optimizer=cast(Any, optimizer))
    except (SafetensorError, OSError, KeyError, ValueError, morphir.MorphirError) as error:
        raise CheckpointError(
            f"The checkpoint {path} can't be read: {type(error).__name__}: {error}. Expected the "
            f"files {_AGENT} and {_STATE} as a training run writes them. Remove the folder to "
            "resume from the one before it."
        ) from error
    return cast(AgentT, agent), cast(OptimizersT, restored), progress


def _complete(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("[0-9]*") if p.is_dir()) if folder.is_dir() else []


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
