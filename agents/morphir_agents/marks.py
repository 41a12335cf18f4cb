"""Where a method acted, as lines in pictures of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from matplotlib.axes import Axes

__all__ = ["mark_events"]

_MOST: Final = 40
"""Beyond that the lines would hide what they mark."""


def mark_events(panels: Iterable[Axes], events: Sequence[dict[str, Any]]) -> None:
    """Draw a thin line at each step with events, or none if there are too many of them.

    Args:
        panels: What to draw into; the first line of each has a label.
        events: Rows of the table of that name.
    """
    steps = [*dict.fromkeys(row["step"] for row in events)]
    if len(steps) > _MOST:
        return
    for axes in panels:
        for number, step in enumerate(steps):
            label = "_" if number else "the method acts"
            axes.axvline(step, color="#c8a24c", linewidth=0.7, zorder=1, label=label)
