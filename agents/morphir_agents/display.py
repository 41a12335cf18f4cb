"""A live line of progress in a terminal, and a plain line now and then in a log file."""

from __future__ import annotations

import time
from typing import final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["Display"]

_SECONDS_BETWEEN_LINES = 10.0


@final
class Display:
    """Shows how far a run is."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self._total = total
        self._last_line = time.monotonic()
        self._progress = Progress(
            TextColumn("[bold]{task.completed:>9,.0f}[/] / {task.total:,.0f} steps"),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("steps", total=total, numbers="")

    def start(self, step: int) -> None:
        """Show the bar, at a step."""
        self._progress.update(self._task, completed=step)
        if self.console.is_terminal:
            self._progress.start()

    def show(self, step: int, numbers: str) -> None:
        """Move the bar; the numbers stand behind it."""
        self._progress.update(self._task, completed=step, numbers=numbers)
        now = time.monotonic()
        due = now - self._last_line >= _SECONDS_BETWEEN_LINES or step >= self._total
        if not self.console.is_terminal and due:
            self._last_line = now
            self.console.print(f"{step:>9,} / {self._total:,} steps  {numbers}", highlight=False)

    def stop(self) -> None:
        """Leave the last state on the screen."""
        if self.console.is_terminal:
            self._progress.stop()
