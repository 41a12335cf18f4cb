"""How plastic the networks stayed, as a picture: a column per network, a row per measure.

It is drawn from the columns that `measures.py` logs; runs without them have no such picture. The
last row has the churn (PLASTIC-4) of what a method did, if it did anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from morphir.state.files import atomic_path
from morphir_agents.marks import mark_events

__all__ = ["draw_plasticity", "measured_networks"]

Row = dict[str, Any]

_PANELS = {
    "share": ("dormant", "activated", "density", "review"),
    "effective rank": ("rank",),
    "norm of weights": ("weight_norm",),
    "norm of gradients": ("gradient_norm",),
}
_CHURN = "churn of an event"
_MARKERS = {"grow": ("o", 7), "prune": ("x", 4)}  # which are seen where they lie on each other
_COLOURS = {"dormant": "#c44e52", "activated": "#4878a8", "density": "#55a868", "review": "#dd8452"}


def measured_networks(metrics: Sequence[Row]) -> list[str]:
    """The networks whose plasticity was measured, in the order of their columns."""
    columns = dict.fromkeys(column for row in metrics for column in row)
    return [column.removesuffix("/dormant") for column in columns if column.endswith("/dormant")]


def draw_plasticity(path: Path, rows: dict[str, list[Row]], title: str) -> None:
    """Write the picture: networks bold, their layers thin, a line at each growth and few events.

    Args:
        path: The PNG to write.
        rows: The logbook's tables; some network must have been measured.
        title: What stands above.
    """
    networks, events = measured_networks(rows["metrics"]), rows.get("events", [])
    labels = [*_PANELS, *[_CHURN] * bool(events)]
    figure = Figure(figsize=(9, 1 + 2 * len(labels)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(labels), len(networks), sharex=True, squeeze=False)
    for network, column in zip(networks, grid.T, strict=True):
        column[0].set_title(network)
        column[-1].set_xlabel("environment steps")
        column[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        column[-1].locator_params(axis="x", nbins=5)
        for axes, label in zip(column, labels, strict=True):
            if label == _CHURN:
                _draw_churn(axes, events, network)
            else:
                _draw_measures(axes, rows["metrics"], network, _PANELS[label])
            for event in rows["growth"]:
                axes.axvline(event["step"], color="#55a868", linestyle="--", linewidth=0.8)
            axes.grid(alpha=0.25)
        mark_events(column, events)
    for axes, label in zip(grid[:, 0], labels, strict=True):
        axes.set_ylabel(label)
    figure.suptitle(f"{title}\nbold: the whole network; thin: its layers")
    with atomic_path(path) as file:
        figure.savefig(file, format="png")


def _draw_measures(
    axes: Axes, metrics: Sequence[Row], network: str, measures: Sequence[str]
) -> None:
    for measure in measures:
        _draw(axes, metrics, network, measure)
    if len(measures) > 1:
        axes.set_ylim(-0.03, 1.1)
        axes.legend(fontsize=8)
    else:
        axes.set_ylim(0, 1.05 * axes.get_ylim()[1])  # what hardly changes must not lie on the frame


def _draw_churn(axes: Axes, events: Sequence[Row], network: str) -> None:
    """A point for each event, by its kind: most move little or nothing, and some everything."""
    for kind in dict.fromkeys(row["kind"] for row in events):
        points = [(row["step"], row[f"{network}_churn"]) for row in events if row["kind"] == kind]
        marker, size = _MARKERS.get(kind, (".", 4))
        axes.plot(
            [step for step, _ in points],
            [value for _, value in points],
            linestyle="",
            marker=marker,
            markersize=size,
            markerfacecolor="none",
            label=kind,
        )
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set_ylim(bottom=-1e-4)
    axes.legend(fontsize=8)


def _draw(axes: Axes, metrics: Sequence[Row], network: str, measure: str) -> None:
    whole = f"{network}/{measure}"
    columns = dict.fromkeys(column for row in metrics for column in row)
    for column in columns:
        if column == whole or column.startswith(f"{whole}/"):
            points = [(row["step"], row[column]) for row in metrics if column in row]
            axes.plot(
                [step for step, _ in points],
                [value for _, value in points],
                color=_COLOURS.get(measure, "#555555"),
                linewidth=1.6 if column == whole else 0.6,
                label=measure if column == whole else None,
            )
