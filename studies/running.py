"""Runs the cells of a study, some at a time, each in a process of its own.

A run that was stopped goes on from its last checkpoint, and one that is finished is left alone: the
command that began a study also finishes it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.progress import MofNCompleteColumn, Progress

from benchmarks.results import commit
from morphir_agents.folder import RunFolder


@final
@dataclass(frozen=True)
class Cell:
    """One run of a study.

    Attributes:
        name: The folder that it gets in that of the study.
        arguments: What follows `morphir-agents run` on the command line.
    """

    name: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command that makes this run."""
        return " ".join(["morphir-agents run", *self.arguments])

    def commits(self, folder: Path) -> Path:
        """The file that has the commit of each beginning of this run, in the folder of a study."""
        return folder / f"{self.name}.commits"


def run_all(cells: Sequence[Cell], folder: Path, jobs: int) -> None:
    """Runs what is not finished, with a bar.

    Args:
        cells: The runs, in the order in which they begin.
        folder: Of the study: each run has a folder in it, and beside that a log and the commits.
        jobs: How many at a time; each takes one core.

    Raises:
        SystemExit: A run has failed, and the others were finished first; or Ctrl-C was pressed, and
            those that ran have stopped at their next checkpoints.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left = [cell for cell in cells if not RunFolder(folder / cell.name).summary.is_file()]
    failed: list[str] = []
    columns = (*Progress.get_default_columns(), MofNCompleteColumn())
    with ThreadPoolExecutor(jobs) as pool, Progress(*columns) as bar:
        task = bar.add_task(folder.name, total=len(cells), completed=len(cells) - len(left))
        running = {pool.submit(_run, cell, folder): cell for cell in left}
        try:
            for done in as_completed(running):
                bar.advance(task)
                if done.result() != 0:
                    failed.append(running[done].name)
        except KeyboardInterrupt:  # the runs have got it too, and stop at their next checkpoint
            pool.shutdown(wait=True, cancel_futures=True)
            sys.exit("Stopped. The same command goes on.")
    if failed:
        logs = ", ".join(str(folder / f"{name}.log") for name in failed)
        sys.exit(f"{len(failed)} of {len(cells)} runs failed; see {logs}")


def _run(cell: Cell, folder: Path) -> int:
    run = folder / cell.name
    begun = RunFolder(run).config.is_file()
    arguments = ["resume", str(run)] if begun else ["run", *cell.arguments, "--folder", str(run)]
    with cell.commits(folder).open("a") as commits:
        commits.write(f"{commit()}\n")
    with (folder / f"{cell.name}.log").open("a") as log:
        command = [sys.executable, "-m", "morphir_agents", *arguments]
        return subprocess.run(command, stdout=log, stderr=log, check=False).returncode
