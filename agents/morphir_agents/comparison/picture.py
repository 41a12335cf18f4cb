"""A comparison as a picture: every seed thin, the interquartile mean bold in its band."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morphir.state.files import atomic_path
from morphir_agents.comparison.results import CellResult, Panel

__all__ = ["draw_comparison"]

_LINES = ("-", "--", ":")


def draw_comparison(path: Path, results: Sequence[CellResult], title: str) -> None:
    """Write the picture: a panel for the return and one for each measure.

    Args:
        path: The PNG to write.
        results: The cells.
        title: What stands above.
    """
    names = list(results[0].panels)
    figure = Figure(figsize=(9, 0.6 + 3.4 * len(names)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    column = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
    for axes, name in zip(column, names, strict=True):
        for index, result in enumerate(results):
            label = f"{result.cell.label} (seeds: {len(result.cell.runs)})"
            _draw(axes, result.panels[name], index, label)
        axes.set_ylabel(name)
        axes.grid(alpha=0.25)
    column[-1].set_xlabel("environment steps")
    column[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    lines, labels = column[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", ncols=2, fontsize=8)
    figure.suptitle(title)
    with atomic_path(path) as file:
        figure.savefig(file, format="png")


def _draw(axes: Axes, panel: Panel, index: int, label: str) -> None:
    colour, line = f"C{index % 10}", _LINES[index // 10 % len(_LINES)]  # there are ten colours
    for curve in panel.curves:
        axes.plot(
            curve.steps, curve.values, color=colour, linestyle=line, linewidth=0.6, alpha=0.45
        )
    middle = panel.middle
    axes.plot(
        middle.iqm.steps,
        middle.iqm.values,
        color=colour,
        linestyle=line,
        linewidth=2.0,
        label=label,
    )
    if middle.low is not None and middle.high is not None:
        axes.fill_between(
            middle.iqm.steps, middle.low, middle.high, color=colour, alpha=0.15, linewidth=0
        )
