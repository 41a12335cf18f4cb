"""A comparison as numbers: what the picture, the table and the JSON file show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from morphir_agents.comparison.cells import Cell
from morphir_agents.comparison.commands import arguments
from morphir_agents.comparison.runs import ComparedRun, Curve
from morphir_agents.comparison.statistics import (
    Figures,
    area,
    figures,
    final_return,
    interquartile_mean,
    interval,
)
from morphir_agents.errors import ComparisonError

__all__ = ["RETURN", "CellResult", "Middle", "Panel", "as_data", "evaluate_cells"]

RETURN = "return"
"""The panel of every comparison; the others are named by their columns."""


@final
@dataclass(frozen=True)
class Middle:
    """The interquartile means at the steps that all seeds of a cell have, with their band."""

    iqm: Curve
    low: tuple[float, ...] | None
    """None, and `high` with it, where the seeds are too few."""
    high: tuple[float, ...] | None


@final
@dataclass(frozen=True)
class Panel:
    """One quantity of one cell: a curve per run, in the order of the runs, and their middle."""

    curves: tuple[Curve, ...]
    middle: Middle


@final
@dataclass(frozen=True)
class CellResult:
    """What came of the runs of a cell."""

    cell: Cell
    finals: tuple[float, ...]
    areas: tuple[float, ...]
    final: Figures
    area: Figures
    panels: dict[str, Panel]


def evaluate_cells(cells: Sequence[Cell], measures: Sequence[str]) -> tuple[CellResult, ...]:
    """The results of each cell, with a panel for the return and one for each measure.

    Args:
        cells: The runs, sorted.
        measures: Columns of the runs' metrics.

    Raises:
        ComparisonError: None of the runs has logged one of the measures.
    """
    runs = [run for cell in cells for run in cell.runs]
    for column in measures:
        if not any(run.measured(column).steps for run in runs):
            raise ComparisonError(
                f"--measures {column}: none of these runs has logged that. They have: "
                f"{', '.join(_columns(runs))}."
            )
    return tuple(_result(cell, measures) for cell in cells)


def as_data(results: Sequence[CellResult]) -> list[dict[str, Any]]:
    """Everything about the cells, ready for JSON."""
    return [
        {
            "label": result.cell.label,
            "recipe": result.cell.runs[0].recipe,
            "settings": result.cell.settings,
            "final_return": _numbers(result.final),
            "area": _numbers(result.area),
            "curves": {name: _middle(panel.middle) for name, panel in result.panels.items()},
            "runs": [
                {
                    "folder": str(run.folder),
                    "task": run.task,
                    "seed": run.seed,
                    "finished": run.finished,
                    "last_step": run.last_step,
                    "arguments": arguments(run.fields),
                    "final_return": result.finals[index],
                    "area": result.areas[index],
                    "curves": {
                        name: _curve(panel.curves[index]) for name, panel in result.panels.items()
                    },
                }
                for index, run in enumerate(result.cell.runs)
            ],
        }
        for result in results
    ]


def _result(cell: Cell, measures: Sequence[str]) -> CellResult:
    returns = [run.returns for run in cell.runs]
    finals = tuple(final_return(curve.values) for curve in returns)
    areas = tuple(area(curve.steps, curve.values) for curve in returns)
    panels = {RETURN: _panel(returns)}
    for column in measures:
        panels[column] = _panel([run.measured(column) for run in cell.runs])
    return CellResult(cell, finals, areas, figures(finals), figures(areas), panels)


def _panel(curves: Sequence[Curve]) -> Panel:
    common = sorted(set.intersection(*(set(curve.steps) for curve in curves)))
    if not common:
        return Panel(tuple(curves), Middle(Curve((), ()), None, None))
    at = [dict(zip(curve.steps, curve.values, strict=True)) for curve in curves]
    values = np.array([[each[step] for step in common] for each in at])
    iqm = Curve(tuple(common), tuple(interquartile_mean(values).tolist()))
    bounds = interval(values)
    if bounds is None:
        return Panel(tuple(curves), Middle(iqm, None, None))
    low, high = (tuple(bound.tolist()) for bound in bounds)
    return Panel(tuple(curves), Middle(iqm, low, high))


def _columns(runs: Sequence[ComparedRun]) -> list[str]:
    names = dict.fromkeys(name for run in runs for row in run.metrics for name in row)
    return [n for n in names if n != "step" and any(run.measured(n).steps for run in runs)]


def _numbers(found: Figures) -> dict[str, Any]:
    return {"median": found.median, "iqm": found.iqm, "interval": found.interval}


def _curve(curve: Curve) -> dict[str, Any]:
    return {"steps": curve.steps, "values": curve.values}


def _middle(middle: Middle) -> dict[str, Any]:
    return {**_curve(middle.iqm), "low": middle.low, "high": middle.high}
