"""A comparison as Markdown: the table, what it doesn't show, and the commands behind it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from morphir_agents.comparison.commands import arguments
from morphir_agents.comparison.results import RETURN, CellResult
from morphir_agents.comparison.statistics import LEAST_FOR_AN_INTERVAL, Figures

__all__ = ["as_markdown", "cautions", "number", "range_of", "tasks_of"]

_FEW = 10


def as_markdown(results: Sequence[CellResult], command: str) -> str:
    """The page.

    Args:
        results: The cells.
        command: What compared them.
    """
    lines = [
        f"# Comparison: {tasks_of(results)}",
        "",
        "![Every seed thin, the interquartile mean bold in its 95 % band](comparison.png)",
        "",
        *_table(results),
        "",
        "Returns are those of the deterministic policy at its evaluations. The final return of a",
        "run is the mean of its last tenth of evaluations, the area the mean under its curve. IQM",
        "is the interquartile mean: a quarter of the seeds, rounded down, is left out at each end.",
        "Its interval is a percentile bootstrap over seeds.",
        "",
        *(f"- {caution}" for caution in cautions(results)),
        "",
        "## Commands",
        "",
        "This page:",
        "",
        "```sh",
        command,
        "```",
    ]
    for result in results:
        lines += ["", f"{result.cell.label}:", "", "```sh", *_commands(result), "```"]
    return "\n".join(lines) + "\n"


def cautions(results: Sequence[CellResult]) -> list[str]:
    """What a reader must know before believing the table."""
    return [_seeds(results), *_unfinished(results), *_pooled(results), *_unmeasured(results)]


def tasks_of(results: Sequence[CellResult]) -> str:
    """What the runs learn."""
    return ", ".join(dict.fromkeys(run.task for result in results for run in result.cell.runs))


def number(value: float) -> str:
    """A return, with as many digits as anyone wants to read."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def range_of(figures: Figures) -> str:
    """The interval, or that there is none."""
    if figures.interval is None:
        return "none"
    return " to ".join(map(number, figures.interval))


def _table(results: Sequence[CellResult]) -> list[str]:
    head = [
        *("runs", "seeds", "median final return", "IQM", "95 % interval"),
        *("median area", "IQM", "95 % interval"),
    ]
    rows = [
        [
            result.cell.label,
            f"{len(result.cell.runs)} ({', '.join(str(run.seed) for run in result.cell.runs)})",
            *(number(result.final.median), number(result.final.iqm), range_of(result.final)),
            *(number(result.area.median), number(result.area.iqm), range_of(result.area)),
        ]
        for result in results
    ]
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def _seeds(results: Sequence[CellResult]) -> str:
    counts = [len(result.cell.runs) for result in results]
    few = f"{min(counts)}" if len({*counts}) == 1 else f"{min(counts)} to {max(counts)}"
    text = f"**Seeds per row: {few}.**"
    if min(counts) < LEAST_FOR_AN_INTERVAL:
        text += (
            f" With fewer than {LEAST_FOR_AN_INTERVAL} there is no interval: nothing tells such a "
            "row from luck."
        )
    if any(LEAST_FOR_AN_INTERVAL <= count < _FEW for count in counts):
        text += (
            f" An interval from fewer than {_FEW} is rough, and too narrow rather than too wide."
        )
    return text


def _unfinished(results: Sequence[CellResult]) -> list[str]:
    runs = [run for result in results for run in result.cell.runs if not run.finished]
    if not runs:
        return []
    places = ", ".join(
        f"{run.folder} ({run.returns.steps[-1]:,} of {run.last_step:,} steps)" for run in runs
    )
    return [f"**Not finished:** {places}. Their figures are of what they have reached."]


def _pooled(results: Sequence[CellResult]) -> list[str]:
    return [
        f"The runs of {result.cell.label} also differ in {', '.join(result.cell.pooled)}: more "
        "than seeds is in their figures."
        for result in results
        if result.cell.pooled
    ]


def _unmeasured(results: Sequence[CellResult]) -> list[str]:
    return [
        f"{name} was not logged by every run of {result.cell.label}, which has no line there."
        for result in results
        for name, panel in result.panels.items()
        if name != RETURN and not panel.middle.iqm.steps
    ]


def _commands(result: CellResult) -> list[str]:
    lines = []
    for run in result.cell.runs:
        found = arguments(run.fields)
        lines.append(
            f"# no options of a recipe give {run.folder / 'config.json'}"
            if found is None
            else shlex.join(["morphir-agents", *found])
        )
    return lines
