"""A panel for each method: every seed thin, the interquartile mean bold, plain TD3's in grey."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morphir.state.files import atomic_path
from morphir_agents.comparison.statistics import interquartile_mean
from studies.visits import Visit

_COLUMNS = 3


def draw_visits(
    path: Path,
    found: Mapping[str, Mapping[int, Sequence[Visit]]],
    measure: Callable[[Visit], float],
    label: str,
) -> None:
    """Writes the picture of one measure, visit by visit.

    Args:
        path: The PNG to write.
        found: Visits by method and seed; the first method stands behind all others.
        measure: What is drawn of a visit.
        label: What to call it.
    """
    shown = {method: runs for method, runs in found.items() if runs}
    rows = math.ceil(len(shown) / _COLUMNS)
    figure = Figure(figsize=(10.5, 1.7 + 2.2 * rows), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    panels = [*figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).flat]
    curves = {
        method: np.array([[measure(visit) for visit in run] for run in runs.values()])
        for method, runs in shown.items()
    }
    first = next(iter(curves))
    visits = next(iter(shown[first].values()))
    numbers = np.arange(1, len(visits) + 1)
    tasks = [visit.task.rpartition("-v")[0] or visit.task for visit in visits]
    ends = [n for n in numbers[:-1] if visits[n - 1].round != visits[n].round]
    for panel, (method, values) in zip(panels, curves.items(), strict=False):
        if method != first:
            middle = interquartile_mean(curves[first])
            panel.plot(numbers, middle, color="0.6", linewidth=2.0)
        panel.plot(numbers, values.T, color="C0", linewidth=0.7, alpha=0.5)
        panel.plot(numbers, interquartile_mean(values), color="C0", linewidth=2.2)
        panel.set_title(f"{method} (seeds: {len(values)})", fontsize=9)
        panel.set_xticks(numbers, tasks, rotation=90, fontsize=8)
        for number in ends:
            panel.axvline(number + 0.5, color="0.8", linewidth=1.0)
        panel.grid(alpha=0.25)
    for panel in panels[len(curves) :]:
        panel.axis("off")
    figure.supxlabel("visit", fontsize=10)
    figure.supylabel(f"{label} (in grey: {first})", fontsize=10)
    with atomic_path(path) as file:
        figure.savefig(file, format="png")
