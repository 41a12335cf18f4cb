"""HalfCheetah for 150,000 steps: TD3, Neuroplastic Expansion, ReDo and random growth.

    python -m studies.halfcheetah            runs what is missing, then compares all that is there
    python -m studies.halfcheetah --report   only the latter

Networks and clipping are those of the paper on Neuroplastic Expansion. Ctrl-C stops the runs at
their next checkpoints; the same command goes on.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import tyro
from rich.console import Console

from morphir_agents.comparison import compare
from studies.data import FOLDER, write_summaries
from studies.running import Cell, run_all

STEPS: Final = 150_000
SEEDS: Final = 2
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "TD3": ("--method", "none"),
    "NE": ("--method", "ne"),
    "ReDo": ("--method", "redo", "--method.threshold", "0.1"),
    "random growth": ("--method", "random-growth"),
}


def cells(methods: Mapping[str, Sequence[str]] = METHODS) -> list[Cell]:
    """All runs, seed by seed.

    Args:
        methods: Their options on the command line, by name.
    """
    length = ("--td3.total-steps", str(STEPS))
    return [
        Cell(f"{method} {seed}", ("ne-halfcheetah", *options, *length, "--seed", str(seed)))
        for seed in range(SEEDS)
        for method, options in methods.items()
    ]


def main(
    report: bool = False,
    jobs: Annotated[int, tyro.conf.arg(aliases=["-j"])] = 2,
    runs: Path = Path("runs") / "study-halfcheetah",
) -> None:
    """Run the study, or go on with it, and compare its runs.

    Args:
        report: Run nothing, and compare the runs that are there.
        jobs: Runs at a time; each takes one core.
        runs: The folder for the runs.
    """
    if not report:
        run_all(cells(), runs, jobs)
    folders = [folder for cell in cells() if (folder := runs / cell.name).is_dir()]
    if not folders:
        sys.exit(f"There is no run of this study in {runs}. Leave out --report to begin them.")
    compare(
        folders,
        out=FOLDER / "halfcheetah",
        console=Console(),
        by=("method",),
        measures=("critic/activated", "actor/dormant", "critic/density"),
    )
    write_summaries(FOLDER / "halfcheetah" / "runs.json", cells(), runs)


if __name__ == "__main__":
    tyro.cli(main)
