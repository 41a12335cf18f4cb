"""What runs left behind, as one JSON file: all that pages and pictures are made of."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.results import circumstances
from morphir.state.files import atomic_path
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import read_rows
from studies.running import Cell

FOLDER: Final = Path(os.path.relpath(Path(__file__).parent / "data"))  # so that pages show no more
_DIGITS: Final = 5


def write_data(name: str, cells: Sequence[Cell], runs: Path, columns: Sequence[str]) -> Path:
    """Writes `data/<name>.json` and returns its path.

    Args:
        name: Of the study.
        cells: Its runs; those that are not finished are left out.
        runs: The folder that they are in.
        columns: Of their logs, what is kept beside step, task and return.
    """
    rows = [_run(cell, runs / cell.name, columns) for cell in _finished(cells, runs)]
    path = FOLDER / f"{name}.json"
    FOLDER.mkdir(exist_ok=True)
    with atomic_path(path) as file:
        file.write_text(json.dumps({**circumstances(), "runs": rows}, separators=(",", ":")) + "\n")
    return path


def write_summaries(path: Path, cells: Sequence[Cell], runs: Path) -> None:
    """Writes what runs say of themselves at their ends, a line for each that is finished.

    Args:
        path: The file to write.
        cells: The runs of a study.
        runs: The folder that they are in.
    """
    lines = ",\n".join(json.dumps(_summary(cell, runs)) for cell in _finished(cells, runs))
    with atomic_path(path) as file:
        file.write_text(f'{{"runs": [\n{lines}\n]}}\n')


def read_data(name: str) -> dict[str, Any]:
    """What `write_data` wrote; rows are dictionaries again."""
    document = json.loads((FOLDER / f"{name}.json").read_text())
    for run in document["runs"]:
        for table in ("evaluations", "log"):
            names = run[table]["columns"]
            run[table] = [dict(zip(names, row, strict=True)) for row in run[table]["rows"]]
    return document


def _finished(cells: Sequence[Cell], runs: Path) -> list[Cell]:
    return [cell for cell in cells if RunFolder(runs / cell.name).summary.is_file()]


def _summary(cell: Cell, runs: Path) -> dict[str, Any]:
    """Of a run's summary what no page shows that is committed, and no paths."""
    folder = runs / cell.name
    summary = json.loads(RunFolder(folder).summary.read_text())
    timings = read_rows(folder / "timings.jsonl")
    commits = cell.commits(runs)
    versions, judged = summary["onnx"]["metadata"], summary["evaluations"][0]
    return {
        "name": cell.name,
        "command": cell.command,
        "commits": commits.read_text().split() if commits.is_file() else [],
        "ended": f"{datetime.fromtimestamp(timings[-1]['time'], UTC):%Y-%m-%d %H:%M} UTC",
        "versions": {
            name: versions[f"{name}_version"] for name in ("morphir", "torch", "onnxruntime")
        },
        "steps": summary["steps"],
        "seconds": _short(summary["seconds"]),
        "method_events": summary["method_events"],
        "method_share": _short(summary["method_share"]),
        "last": {"episodes": judged["episodes"], "mean_return": _short(judged["mean_return"])},
        "onnx_bytes": summary["onnx"]["size"],
        "compacted": summary["compacted"],
    }


def _run(cell: Cell, folder: Path, columns: Sequence[str]) -> dict[str, Any]:
    judged = [row for row in read_rows(folder / "evaluations.jsonl") if "mean_return" in row]
    log = read_rows(folder / "metrics.jsonl")
    return {
        "name": cell.name,
        "command": cell.command,
        "evaluations": _table(judged, ("step", "task", "mean_return")),
        "log": _table(log, ("step", "episode_return", *columns)),
    }


def _table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> dict[str, Any]:
    kept = [[_short(row.get(name)) for name in columns] for row in rows]
    return {"columns": list(columns), "rows": kept}


def _short(value: Any) -> Any:
    return float(f"{value:.{_DIGITS}g}") if isinstance(value, float) else value
