"""The learning curve as a picture, with growth and what a method did marked.

Several tasks have a panel each, since their returns have nothing in common; the lines are broken
where another task was learned in between.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morphir.state.files import atomic_path
from morphir_agents.growth import sizes_changed
from morphir_agents.marks import mark_events

__all__ = ["draw_curve", "smooth"]

Row = dict[str, Any]

_UNITS = {"layers": "layers", "width": "units"}


def smooth(values: Sequence[float], weights: Sequence[float], window: int) -> list[float]:
    """The running weighted mean over the last `window` points."""
    smoothed = []
    for end in range(1, len(values) + 1):
        recent = slice(max(0, end - window), end)
        smoothed.append(float(np.average(values[recent], weights=weights[recent])))
    return smoothed


def draw_curve(path: Path, rows: dict[str, list[Row]], title: str, solves: bool) -> None:
    """Write the curve: training episodes, both policies' evaluations, lines at growth and events.

    Args:
        path: The PNG to write.
        rows: The logbook's tables.
        title: What stands above.
        solves: Whether the task is to be solved (success rate) or scored (return).
    """
    tasks = [*dict.fromkeys(row.get("task") for row in rows["metrics"])] or [None]
    figure = Figure(figsize=(9, max(4.5, 2.2 * len(tasks))), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [*figure.subplots(len(tasks), 1, sharex=True, squeeze=False)[:, 0]]
    for axes, task in zip(panels, tasks, strict=True):
        _draw_lines(axes, rows, task, solves)
        if task is not None:
            axes.set_title(task, loc="right", fontsize=8, color="#666666")
    _mark_growth(panels, rows["growth"], "growth" if tasks == [None] else "new head")
    mark_events(panels, rows.get("events", []))

    figure.suptitle(title)
    panels[-1].set_xlabel("environment steps")
    panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    found = {
        label: line
        for axes in panels
        for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if found:
        figure.legend(found.values(), found.keys(), loc="outside lower center", ncols=3, fontsize=8)
    with atomic_path(path) as file:
        figure.savefig(file, format="png")


def _draw_lines(axes: Axes, rows: dict[str, list[Row]], task: str | None, solves: bool) -> None:
    """Training and evaluations of a task, with a line where a visit to it begins."""
    column, evaluated = (
        ("success_rate", "success_rate") if solves else ("episode_return", "mean_return")
    )
    label, begins = "training episodes", "a visit begins"
    for visit in _visits(rows["metrics"], task):
        training = [row for row in visit if row["episodes"]]
        smoothed = smooth(
            [row[column] for row in training], [row["episodes"] for row in training], window=8
        )
        steps = [row["step"] for row in training]
        axes.plot(steps, smoothed, color="#4878a8", label=label if training else "_")
        label = "_" if training else label  # once is enough
    for policy, colour, marker in (("deterministic", "#c44e52", "o"), ("sampling", "#8172b3", "s")):
        label = f"evaluation, {policy} policy"
        for visit in _visits([row for row in rows["evaluations"] if row["policy"] == policy], task):
            axes.plot(
                [row["step"] for row in visit],
                [row[evaluated] for row in visit],
                color=colour,
                marker=marker,
                markersize=4,
                linewidth=0.8,
                label=label,
            )
            label = "_"
            if task is not None:
                step = visit[0]["step"]
                axes.axvline(step, color="#999999", linestyle=":", linewidth=1.0, label=begins)
                begins = "_"
    axes.set_ylabel("share of episodes solved" if solves else "return")
    axes.margins(y=0.2)  # room for three lines above the curve
    if solves:
        axes.set_ylim(-0.03, 1.2)
    axes.grid(alpha=0.25)


def _visits(rows: Sequence[Row], task: str | None) -> list[list[Row]]:
    """The rows of a task, apart where another one was learned in between."""
    visits = itertools.groupby(rows, key=lambda row: row.get("task"))
    return [[*visit] for name, visit in visits if name == task]


def _mark_growth(panels: Sequence[Axes], growth: Sequence[Row], label: str) -> None:
    """A line at each event, and in the first panel what it was."""
    for row in growth:
        for axes in panels:
            axes.axvline(row["step"], color="#55a868", linestyle="--", linewidth=1.2, label=label)
        sizes = [f"{old} → {new} {_UNITS[name]}" for name, old, new in sizes_changed(row)]
        panels[0].annotate(
            "\n".join([*sizes, row["grade"]]),
            (row["step"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -4),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color="#2f7a46",
        )
