"""A whole run: train, show and log it, and leave a folder that explains it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, final

import numpy as np
from rich.console import Console
from typing_extensions import override

from morphir_agents import ppo, td3
from morphir_agents.checkpoint import latest
from morphir_agents.config import BaseRunConfig, RunConfig, TD3RunConfig
from morphir_agents.display import Display
from morphir_agents.envs import Episode
from morphir_agents.evaluate import Evaluation
from morphir_agents.finish import Summary, finish
from morphir_agents.folder import RunFolder
from morphir_agents.growth import GrowthRecord, sizes_changed
from morphir_agents.interrupt import Interrupt
from morphir_agents.logbook import Logbook
from morphir_agents.methods import MethodEvent
from morphir_agents.observer import Observer
from morphir_agents.policy import Policy
from morphir_agents.recipes import RECIPES
from morphir_agents.trainer import Trained

__all__ = ["Recorder", "execute"]

_UNITS = {"layers": "hidden layers", "width": "units per layer"}


@final
class Recorder(Observer):
    """Writes what happens into the logbook and shows it."""

    def __init__(
        self, config: BaseRunConfig, folder: RunFolder, display: Display, interrupt: Interrupt
    ) -> None:
        self._config, self._folder = config, folder
        self._display, self._interrupt = display, interrupt
        self._recent: deque[Episode] = deque(maxlen=100)
        self._book: Logbook | None = None
        self._seconds_before = 0.0
        self._start = self._mark = time.perf_counter()
        self._step = self._layers = self._width = 0
        self._task: dict[str, str] = {}

    @property
    def logbook(self) -> Logbook:
        """Opened when the run begins: a checkpoint that can't be read leaves the tables alone."""
        assert self._book is not None, "the run has not begun"
        return self._book

    def close(self) -> None:
        """Close the logbook and leave the display."""
        self._display.stop()
        if self._book is not None:
            self._book.close()

    @override
    @property
    def stops(self) -> bool:
        return self._interrupt.requested

    @property
    def seconds(self) -> float:
        """Training time so far, earlier sessions included."""
        return self._seconds_before + time.perf_counter() - self._start

    @override
    def begins(self, step: int, agent: Policy, resumed: bool) -> None:
        self._step = step
        self._layers, self._width = agent.hidden_layers, agent.hidden_width
        self._book = Logbook(self._folder.path, step if resumed else -1)
        timings = self._book.rows["timings"]
        self._seconds_before = float(timings[-1]["seconds"]) if timings else 0.0
        self._start = self._mark = time.perf_counter()
        self._display.start(step)

    @override
    def enters(self, step: int, task: str) -> None:
        self._task = {"task": task}
        self._recent.clear()
        self._display.console.print(f"[bold]{task}[/] from step {step:,}", highlight=False)

    @override
    def updated(
        self,
        step: int,
        update: int,
        episodes: Sequence[Episode],
        losses: Mapping[str, float],
        agent: Policy,
    ) -> None:
        now = time.perf_counter()
        speed = (step - self._step) / (now - self._mark)
        self._step, self._mark = step, now
        self._recent.extend(episodes)
        self.logbook.add(
            "metrics",
            {
                "step": step,
                **self._task,
                "update": update,
                "episodes": len(episodes),
                "episode_return": _mean([e.episode_return for e in episodes]),
                "episode_length": _mean([e.length for e in episodes]),
                "success_rate": _mean([e.success for e in episodes]),
                "hidden_layers": agent.hidden_layers,
                "hidden_width": agent.hidden_width,
                **losses,
            },
        )
        self.logbook.add(
            "timings",
            {
                "step": step,
                "seconds": round(self.seconds, 3),
                "steps_per_second": round(speed, 1),
                "time": round(time.time(), 3),
            },
        )
        self._display.show(step, self._numbers(speed))

    @override
    def grew(self, record: GrowthRecord) -> None:
        self._layers, self._width = record.layers_after, record.width_after
        row = asdict(record)
        self.logbook.add("growth", row)
        sizes = [f"{old} -> {new} {_UNITS[name]}" for name, old, new in sizes_changed(row)]
        sizes = sizes or [f"{record.parameters_before:,} -> {record.parameters_after:,} parameters"]
        what = "new head" if self._task else "grew"
        self._display.console.print(
            f"[bold green]{what}[/] at step {record.step:,}: {', '.join(sizes)}  "
            f"[bold]{record.grade}[/]  {record.milliseconds:.0f} ms",
            highlight=False,
        )

    @override
    def acted(self, events: Sequence[MethodEvent]) -> None:
        for event in events:
            self.logbook.add("events", asdict(event))

    @override
    def evaluated(self, step: int, outcome: Evaluation) -> None:
        self.logbook.add("evaluations", {"step": step, **self._task, **asdict(outcome)})
        self._mark = time.perf_counter()

    @override
    def settles(self, step: int) -> None:
        self.logbook.flush()

    def _numbers(self, speed: float) -> str:
        episodes = list(self._recent)
        parts = [*self._task.values(), f"layers {self._layers}", f"width {self._width}"]
        parts.append(f"{speed:,.0f} steps/s")
        if episodes:
            parts.insert(0, f"return {np.mean([e.episode_return for e in episodes]):.2f}")
            if self._config.env.kind == "room":
                parts.insert(0, f"solved {np.mean([e.success for e in episodes]):.0%}")
        return " · ".join(parts)


def execute(
    config: BaseRunConfig,
    folder: RunFolder,
    console: Console,
    schedule: Sequence[tuple[int, Any]] | None = None,
) -> Summary | None:
    """Train from the folder's last checkpoint to the end; None if interrupted.

    Args:
        config: The run; its class says what learns.
        folder: Where everything goes.
        console: Where progress is shown.
        schedule: (step, pass) pairs instead of a PPO run's `config.growth`.
    """
    display = Display(console, config.last_step)

    def notify() -> None:
        grid = config.checkpoint_every
        then = (
            "as there is none yet, the run then begins anew"
            if latest(folder.checkpoints) is None
            else "the run then resumes from the last one"
        )
        console.print(
            f"[yellow]Stopping at the next checkpoint (they are {grid:,} steps apart). Press "
            f"Ctrl-C again to stop at once; {then}.[/]",
            highlight=False,
        )

    interrupt = Interrupt(notify)
    recorder = Recorder(config, folder, display, interrupt)
    try:
        with interrupt:
            trained = _train(config, folder, recorder, schedule)
        display.stop()
        if not trained.finished:
            console.print(
                f"Stopped at step {trained.step:,}. Continue with: morphir-agents resume "
                f"{folder.path}",
                highlight=False,
            )
            return None
        return finish(config, folder, trained, recorder.logbook, console)
    finally:
        recorder.close()


def _train(
    config: BaseRunConfig,
    folder: RunFolder,
    recorder: Recorder,
    schedule: Sequence[tuple[int, Any]] | None,
) -> Trained:
    if isinstance(config, TD3RunConfig):
        return td3.train(config, folder.checkpoints, recorder)
    assert isinstance(config, RunConfig)
    return ppo.train(config, folder.checkpoints, recorder, schedule)


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def default_folder(config: BaseRunConfig) -> Path:
    """Where a run goes if nothing else is said."""
    parts = [config.name, *_method(config), f"seed{config.seed}"]
    return RunFolder.free(Path("runs"), "-".join(parts))


def _method(config: BaseRunConfig) -> list[str]:
    """What the method of a run is called, if its recipe has another one."""
    recipe = RECIPES[config.name].config if config.name in RECIPES else TD3RunConfig()
    if not (isinstance(config, TD3RunConfig) and isinstance(recipe, TD3RunConfig)):
        return []
    method = config.method
    if method.as_released and not recipe.method.as_released:
        return ["as-released"]
    return [method.kind] if method.kind != recipe.method.kind else []
