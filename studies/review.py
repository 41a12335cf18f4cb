"""How many batches does Neuroplastic Expansion review, and what does that do to learning?

    python -m studies.review            runs what is missing, then writes data, table and picture
    python -m studies.review --report   only table and picture, of the data that are there

Ctrl-C stops the runs at their next checkpoints; the same command goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Final

import tyro

from morphir.state.files import atomic_path
from morphir_agents.comparison.statistics import final_return
from morphir_agents.config import TD3RunConfig
from morphir_agents.recipes import RECIPES
from studies import cycle, halfcheetah
from studies.data import FOLDER, read_data, write_data, write_summaries
from studies.pictures import draw_visits
from studies.running import Cell, run_all
from studies.tables import figures_of, short, table_of_rounds, table_of_tasks

NAME: Final = "review"
COLUMN: Final = "critic/review"
CYCLE: Final[Mapping[str, tuple[str, ...]]] = {
    "NE without review": ("--method", "ne-no-review"),
    "NE, threshold 0.002": ("--method", "ne", "--method.review-threshold", "0.002"),
    "NE": ("--method", "ne"),
}
HALFCHEETAH: Final[Mapping[str, tuple[str, ...]]] = {
    "HalfCheetah NE without review": ("--method", "ne-no-review"),
    "HalfCheetah NE": ("--method", "ne"),
}


def cells() -> list[Cell]:
    """All runs, seed by seed: those on HalfCheetah, then those in the cycle."""
    runs = [cycle.in_cycle(CYCLE, seed) for seed in range(cycle.SEEDS)]
    return [*halfcheetah.cells(HALFCHEETAH), *chain.from_iterable(runs)]


def main(
    report: bool = False,
    jobs: Annotated[int, tyro.conf.arg(aliases=["-j"])] = 2,
    runs: Path = Path("runs") / "study-review",
) -> None:
    """Run the study, or go on with it, and write what came of it.

    Args:
        report: Run nothing, and write table and picture of the data that are there.
        jobs: Runs at a time; each takes one core.
        runs: The folder for the runs.
    """
    config = RECIPES[cycle.RECIPE].config
    assert isinstance(config, TD3RunConfig)
    if not report:
        run_all(cells(), runs, jobs)
        write_data(NAME, cells(), runs, (*cycle.COLUMNS, COLUMN))
        write_summaries(FOLDER / f"{NAME}-runs.json", cells(), runs)
    own = read_data(NAME)["runs"]
    alone = [run for run in read_data(cycle.NAME)["runs"] if " alone " in run["name"]]
    found = cycle.results(config, [*alone, *own], CYCLE)
    draw_visits(FOLDER / f"{NAME}-score.png", found, lambda visit: visit.end, "score")
    parts = [_reviews(own), table_of_rounds(found), table_of_tasks(found), _halfcheetah(own)]
    text = "\n\n".join("\n".join(part) for part in parts) + "\n"
    with atomic_path(FOLDER / f"{NAME}.md") as file:
        file.write_text(text)
    print(text)


def reviewed(run: Mapping[str, Any]) -> float:
    """The mean of how likely a batch was a review, over the rows of a log that have it."""
    return fmean(row[COLUMN] for row in run["log"] if row[COLUMN] is not None)


def _named(runs: Sequence[Mapping[str, Any]], name: str) -> list[Mapping[str, Any]]:
    return [run for run in runs if run["name"].rpartition(" ")[0] == name]


def _reviews(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """One line for each setting that reviews."""
    names = [name for name in (*CYCLE, *HALFCHEETAH) if "without" not in name]
    shares = {name: [reviewed(run) for run in _named(runs, name)] for name in names}
    return [
        "| runs | share of the batches that are reviews |",
        "| --- | --- |",
        *(f"| {name} | {figures_of(own)} |" for name, own in shares.items()),
    ]


def _halfcheetah(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The final return of every seed (COMPARE-1)."""
    lines = ["| runs | final return of each seed |", "| --- | --- |"]
    for name in HALFCHEETAH:
        returns = [
            final_return([row["mean_return"] for row in run["evaluations"]])
            for run in _named(runs, name)
        ]
        lines.append(f"| {name} | {', '.join(map(short, returns))} |")
    return lines


if __name__ == "__main__":
    tyro.cli(main)
