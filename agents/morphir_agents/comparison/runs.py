"""Run folders, finished or not, as what a comparison needs of them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from morphir_agents.config import BaseRunConfig, from_json, to_json
from morphir_agents.errors import ComparisonError, ConfigError, RunFolderError
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import Row, read_rows

__all__ = ["ComparedRun", "Curve", "Fields", "fields_of", "find_runs"]

Fields = dict[str, Any]


@final
@dataclass(frozen=True)
class Curve:
    """Numbers at steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]


@final
@dataclass(frozen=True)
class ComparedRun:
    """One run.

    Attributes:
        folder: Where it lies.
        fields: Its configuration: `network.widths` and the like, as in its config.json.
        task: What it learns, for people.
        last_step: Where it ends, or will.
        returns: Those of the deterministic policy, at its evaluations.
        metrics: The rows of its log.
    """

    folder: Path
    fields: Fields
    task: str
    last_step: int
    returns: Curve
    metrics: tuple[Row, ...]

    @property
    def recipe(self) -> str:
        """The name of its recipe."""
        return str(self.fields["name"])

    @property
    def seed(self) -> int:
        """Its seed."""
        return int(self.fields["seed"])

    @property
    def finished(self) -> bool:
        """Whether it was evaluated at its end."""
        return self.returns.steps[-1] >= self.last_step

    @property
    def environment(self) -> Fields:
        """The part of its configuration that says what it learns."""
        return {name: value for name, value in self.fields.items() if name.startswith("env.")}

    def measured(self, column: str) -> Curve:
        """A column of its log, where it has a number."""
        points = [
            (row["step"], row[column])
            for row in self.metrics
            if isinstance(row.get(column), (int, float)) and math.isfinite(row[column])
        ]
        return Curve(tuple(step for step, _ in points), tuple(value for _, value in points))


def find_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """The runs at these paths, each of which is a run folder or holds some; none of them twice.

    Raises:
        RunFolderError: One is neither, or can't be read.
        ComparisonError: There are none, or one that has not been evaluated yet.
    """
    if not paths:
        raise ComparisonError(
            "There is nothing to compare. Give run folders, or folders that hold some: "
            "morphir-agents compare runs"
        )
    folders: dict[Path, Path] = {}
    for path in paths:
        here = [path, *sorted(path.glob("*"))] if path.is_dir() else []
        found = [each for each in here if RunFolder(each).config.is_file()]
        if not found:
            raise RunFolderError(
                f"{path} is no run folder and holds none: there is no config.json in it, nor in a "
                "folder in it. Give folders that `morphir-agents run` made."
            )
        folders.update({each.resolve(): each for each in found})
    return [_read(RunFolder(folder)) for folder in folders.values()]


def fields_of(config: BaseRunConfig) -> Fields:
    """A configuration as one level of names with dots: what its JSON has, in its order."""
    return _flat(json.loads(to_json(config)))


def _read(folder: RunFolder) -> ComparedRun:
    try:
        tree = json.loads(folder.config.read_text())
        # Where it was computed may be a device that this machine has not got.
        elsewhere = {"device": tree["device"]} if "device" in tree else {}
        config = from_json(json.dumps({**tree, **dict.fromkeys(elsewhere, "cpu")}))
    except (OSError, ValueError, TypeError, ConfigError) as error:
        raise RunFolderError(f"{folder.config} can't be read: {error}") from error
    rows = [
        row
        for row in read_rows(folder.path / "evaluations.jsonl")
        if row["policy"] == "deterministic"
    ]
    if not rows:
        raise ComparisonError(
            f"{folder.path} has no evaluation of a deterministic policy yet; the first is due "
            f"after {config.eval_every:,} steps. Leave it out, or compare later."
        )
    return ComparedRun(
        folder=folder.path,
        fields={**fields_of(config), **elsewhere},
        task=config.env.title,
        last_step=config.last_step,
        returns=Curve(
            tuple(row["step"] for row in rows), tuple(row["mean_return"] for row in rows)
        ),
        metrics=tuple(read_rows(folder.path / "metrics.jsonl")),
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> Fields:
    flat: Fields = {}
    for name, value in tree.items():
        path = prefix + name
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat
