"""Nine methods in a cycle of four small tasks: who can still learn when a task comes back?

    python -m studies.cycle            runs what is missing, then writes data, tables and pictures
    python -m studies.cycle --report   only tables and pictures, of the data that are there

Ctrl-C stops the runs at their next checkpoints; the same command goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import tyro

from morphir.state.files import atomic_path
from morphir_agents.config import TD3RunConfig
from morphir_agents.recipes import RECIPES
from studies.data import FOLDER, read_data, write_data, write_summaries
from studies.pictures import draw_visits
from studies.running import Cell, run_all
from studies.tables import mean_of, table_of_rounds, table_of_tasks
from studies.visits import RECOVERED, Scale, Visit, visits_of

NAME: Final = "cycle"
RECIPE: Final = "td3-cycle-small"
SEEDS: Final = 5
SHARED: Final = (
    *("--td3.updates-per-step", "4", "--td3.learning-rate", "0.003"),
    *("--eval-every", "1000"),
)
METHODS: Final[Mapping[str, tuple[str, ...]]] = {
    "TD3": (),
    "NE": ("--method", "ne"),
    "NE without pruning": ("--method", "ne-no-pruning"),
    "NE without review": ("--method", "ne-no-review"),
    "random growth": ("--method", "random-growth"),
    "ReDo": ("--method", "redo", "--method.threshold", "0.1"),
    "Reset": ("--method", "reset", "--method.reset-every", "145000"),
    "LayerNorm": ("--method", "layer-norm"),
    "Plasticity Injection": ("--method", "injection", "--method.inject-at", "216000"),
}
COLUMNS: Final = ("actor/dormant", "critic/dormant", "actor/activated", "critic/activated")


def cells(config: TD3RunConfig) -> list[Cell]:
    """All runs, seed by seed: each task alone, then every method in the cycle."""
    found = []
    for seed in range(SEEDS):
        end = ("--seed", str(seed))
        for task in config.cycle.tasks:
            alone = (
                "--cycle.tasks",
                "--env.id",
                task,
                "--td3.total-steps",
                str(config.visit_steps),
            )
            found.append(Cell(f"{task} alone {seed}", (RECIPE, *alone, *SHARED, *end)))
        found += in_cycle(METHODS, seed)
    return found


def in_cycle(methods: Mapping[str, Sequence[str]], seed: int) -> list[Cell]:
    """A run of each method in the cycle.

    Args:
        methods: Their options on the command line, by name.
        seed: Of all of them.
    """
    return [
        Cell(f"{method} {seed}", (RECIPE, *options, *SHARED, "--seed", str(seed)))
        for method, options in methods.items()
    ]


def main(
    report: bool = False,
    jobs: Annotated[int, tyro.conf.arg(aliases=["-j"])] = 2,
    runs: Path = Path("runs") / "study-cycle",
) -> None:
    """Run the study, or go on with it, and write what came of it.

    Args:
        report: Run nothing, and write tables and pictures of the data that are there.
        jobs: Runs at a time; each takes one core.
        runs: The folder for the runs.
    """
    config = RECIPES[RECIPE].config
    assert isinstance(config, TD3RunConfig)
    if not report:
        run_all(cells(config), runs, jobs)
        write_data(NAME, cells(config), runs, COLUMNS)
        write_summaries(FOLDER / f"{NAME}-runs.json", cells(config), runs)
    found = results(config, read_data(NAME)["runs"])
    draw_visits(FOLDER / f"{NAME}-score.png", found, lambda visit: visit.end, "score")
    draw_visits(
        FOLDER / f"{NAME}-recovery.png",
        found,
        lambda visit: float(visit.recovery),
        f"steps to {RECOVERED}",
    )
    for column in ("activated", "dormant"):
        draw_visits(FOLDER / f"{NAME}-{column}.png", found, mean_of(column), column)
    tables = "\n".join([*table_of_rounds(found), "", *table_of_tasks(found)]) + "\n"
    with atomic_path(FOLDER / f"{NAME}.md") as file:
        file.write_text(tables)
    print(tables)


def results(
    config: TD3RunConfig, runs: Sequence[Mapping[str, Any]], methods: Iterable[str] = METHODS
) -> dict[str, dict[int, list[Visit]]]:
    """The visits of each run that is there, by method and seed.

    Args:
        config: What all runs have in common.
        runs: Of `methods`, and those of each task alone, which set the scales.
        methods: Runs are named after these and their seeds.
    """
    by_name = {run["name"]: run for run in runs}
    scales = {}
    for task in config.cycle.tasks:
        alone = [by_name[name] for s in range(SEEDS) if (name := f"{task} alone {s}") in by_name]
        scales[task] = Scale.of([(run["evaluations"], run["log"]) for run in alone])
    return {
        method: {
            seed: visits_of(config, run["evaluations"], run["log"], scales)
            for seed in range(SEEDS)
            if (run := by_name.get(f"{method} {seed}"))
        }
        for method in methods
    }


if __name__ == "__main__":
    tyro.cli(main)
