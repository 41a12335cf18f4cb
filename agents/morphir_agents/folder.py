"""A run folder: where everything about one run lies, created before anything is computed."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import final

from morphir import StorageError
from morphir.state.files import atomic_path
from morphir_agents.config import BaseRunConfig, from_json, to_json
from morphir_agents.errors import ConfigError, RunFolderError

__all__ = ["RunFolder"]


@final
@dataclass(frozen=True)
class RunFolder:
    """The paths of a run."""

    path: Path

    @property
    def config(self) -> Path:
        """The configuration."""
        return self.path / "config.json"

    @property
    def checkpoints(self) -> Path:
        """The newest two checkpoints."""
        return self.path / "checkpoints"

    @property
    def policy(self) -> Path:
        """Weights, optimizer and lineage of the final agent."""
        return self.path / "policy.safetensors"

    @property
    def onnx(self) -> Path:
        """The policy that takes raw observations."""
        return self.path / "policy.onnx"

    @property
    def compact_onnx(self) -> Path:
        """The same without the units that do nothing, of a sparse policy."""
        return self.path / "policy_compact.onnx"

    @property
    def lineage(self) -> Path:
        """What was done to the network."""
        return self.path / "lineage.json"

    @property
    def curve(self) -> Path:
        """The learning curve."""
        return self.path / "learning_curve.png"

    @property
    def plasticity(self) -> Path:
        """How plastic the networks stayed, where that was measured."""
        return self.path / "plasticity.png"

    @property
    def page(self) -> Path:
        """The page that shows everything together."""
        return self.path / "index.html"

    @property
    def summary(self) -> Path:
        """The results in numbers."""
        return self.path / "summary.json"

    def is_finished(self, config: BaseRunConfig) -> bool:
        """Whether all of the run's end was written: the page is the last of it.

        Args:
            config: The run, which may have been made longer since.
        """
        if not (self.page.is_file() and self.summary.is_file()):
            return False
        return int(json.loads(self.summary.read_text())["steps"]) >= config.last_step

    @classmethod
    def create(cls, path: Path, config: BaseRunConfig) -> RunFolder:
        """Make the folder and note the configuration in it.

        Raises:
            RunFolderError: It can't be written, or holds a run already.
        """
        folder = cls(path)
        if folder.config.exists():
            raise RunFolderError(
                f"{path} already holds a run. Continue it with `morphir-agents resume {path}`, or "
                "choose another --folder."
            )
        try:
            folder.checkpoints.mkdir(parents=True, exist_ok=True)
            with atomic_path(folder.config) as file:
                file.write_text(to_json(config))
        except (OSError, StorageError) as error:
            raise RunFolderError(
                f"The run folder {path} can't be written: {error}. Nothing was trained. Choose "
                "another --folder."
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> tuple[RunFolder, BaseRunConfig]:
        """An existing run and its configuration.

        Raises:
            RunFolderError: There is no readable, writable run.
        """
        folder = cls(path)
        if not folder.config.is_file():
            raise RunFolderError(
                f"{path} is not a run folder: it has no config.json. Start a run with "
                "`morphir-agents run`."
            )
        try:
            config = from_json(folder.config.read_text())
        except (OSError, UnicodeDecodeError, ConfigError) as error:
            raise RunFolderError(f"{folder.config} can't be read: {error}") from error
        if not os.access(path, os.W_OK):
            raise RunFolderError(f"The run folder {path} can't be written. Change its permissions.")
        return folder, config

    @classmethod
    def free(cls, parent: Path, name: str) -> Path:
        """A path for a new run of this name: name, name-2, name-3, ..."""
        candidate, number = parent / name, 1
        while candidate.exists():
            number += 1
            candidate = parent / f"{name}-{number}"
        return candidate
