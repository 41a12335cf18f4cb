"""What happened in a run: one line of JSON per event, mirrored to TensorBoard.

The JSON lines are the truth. Everything in `metrics`, `evaluations`, `growth` and `events` but what
they cost repeats to the bit when a run is repeated; the clock is in `timings`. TensorBoard's
files are rebuilt from them on resume, so both are cut back to the checkpoint.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO, Any, final

from torch.utils.tensorboard import SummaryWriter

from morphir.state.files import atomic_path
from morphir_agents.errors import RunFolderError

__all__ = ["TABLES", "Logbook"]

Row = dict[str, Any]

TABLES = ("metrics", "evaluations", "growth", "events", "timings")

_TAGS = {
    "episode_return": "charts/episodic_return",
    "episode_length": "charts/episodic_length",
    "success_rate": "charts/success_rate",
    "learning_rate": "charts/learning_rate",
    "entropy_weight": "charts/entropy_weight",
    "hidden_layers": "charts/hidden_layers",
    "hidden_width": "charts/hidden_width",
    "policy_loss": "losses/policy_loss",
    "actor_loss": "losses/actor_loss",
    "critic_loss": "losses/qf_loss",
    "value_loss": "losses/value_loss",
    "entropy": "losses/entropy",
    "approx_kl": "losses/approx_kl",
    "clip_fraction": "losses/clipfrac",
    "explained_variance": "losses/explained_variance",
    "steps_per_second": "charts/SPS",
    "milliseconds": "growth/milliseconds",
    "parameters_after": "growth/parameters",
}
"""CleanRL's tag names, so that its plotting tools work."""


@final
class Logbook:
    """The tables of one run; opening it cuts them back to a step."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        self.rows: dict[str, list[Row]] = {table: [] for table in TABLES}
        self._files: dict[str, IO[str]] = {}
        for table in TABLES:
            path = folder / f"{table}.jsonl"
            self.rows[table] = [row for row in read_rows(path) if row["step"] <= step]
            with atomic_path(path) as file:
                file.write_text("".join(_line(row) for row in self.rows[table]))
            self._files[table] = path.open("a", buffering=1)

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        self._board = SummaryWriter(str(folder / "tensorboard"))
        times = {row["step"]: row["time"] for row in self.rows["timings"]}
        for table in TABLES:
            for row in self.rows[table]:
                self._mirror(table, row, times.get(row["step"]))

    def add(self, table: str, row: Row) -> None:
        """Append a row; it must hold its `step`."""
        self.rows[table].append(row)
        self._files[table].write(_line(row))
        self._mirror(table, row, None)

    def flush(self) -> None:
        """Put everything on disk, before a checkpoint that counts on it."""
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        self._board.flush()

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._board.close()

    def _mirror(self, table: str, row: Row, time: float | None) -> None:
        for key, value in row.items():
            if table == "evaluations" and key in ("success_rate", "mean_return", "mean_length"):
                tag = f"evaluation/{row['policy']}_{key}"
            else:
                # A measure of plasticity is named like actor/dormant.
                tag = f"plasticity/{key}" if "/" in key else _TAGS.get(key, "")
            if tag and value is not None:
                self._board.add_scalar(tag, value, row["step"], walltime=time)


def read_rows(path: Path) -> list[Row]:
    """The rows of a table; a last line that was torn by a kill is left out.

    Raises:
        RunFolderError: A line before the last is damaged: the file was changed by something else.
    """
    if not path.exists():
        return []
    rows: list[Row] = []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            row["step"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise RunFolderError(
                f"Line {number} of {path} isn't a row of a run's table: {line[:60]!r}. Expected "
                "one JSON object with a step. Restore the file, or start a new run."
            ) from error
        rows.append(row)
    return rows


def _line(row: Row) -> str:
    return json.dumps(row) + "\n"
