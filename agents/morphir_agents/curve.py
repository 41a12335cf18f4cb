"""The learning curve as a picture, with the growth points marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morphir.state.files import atomic_path
from morphir_agents.growth import sizes_changed

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
    """Write the curve: training episodes, both policies' evaluations, a line at each growth.

    Args:
        path: The PNG to write.
        rows: The logbook's tables.
        title: What stands above.
        solves: Whether the task is to be solved (success rate) or scored (return).
    """
    column, evaluated = (
        ("success_rate", "success_rate") if solves else ("episode_return", "mean_return")
    )
    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()

    training = [row for row in rows["metrics"] if row["episodes"]]
    if training:
        smoothed = smooth(
            [row[column] for row in training], [row["episodes"] for row in training], window=8
        )
        axes.plot(
            [row["step"] for row in training], smoothed, color="#4878a8", label="training episodes"
        )
    for policy, colour, marker in (("deterministic", "#c44e52", "o"), ("sampling", "#8172b3", "s")):
        points = [row for row in rows["evaluations"] if row["policy"] == policy]
        if not points:
            continue
        axes.plot(
            [row["step"] for row in points],
            [row[evaluated] for row in points],
            color=colour,
            marker=marker,
            markersize=4,
            linewidth=0.8,
            label=f"evaluation, {policy} policy",
        )
    for row in rows["growth"]:
        axes.axvline(row["step"], color="#55a868", linestyle="--", linewidth=1.2)
        sizes = [f"{old} → {new} {_UNITS[name]}" for name, old, new in sizes_changed(row)]
        axes.annotate(
            "\n".join([*sizes, row["grade"]]),
            (row["step"], 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(4, -4),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color="#2f7a46",
        )

    axes.set_title(title)
    axes.set_xlabel("environment steps")
    axes.set_ylabel("share of episodes solved" if solves else "return")
    if solves:
        axes.set_ylim(-0.03, 1.2)  # room for three lines above the curve
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(alpha=0.25)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="lower right", fontsize=8)
    with atomic_path(path) as file:
        figure.savefig(file, format="png")
