"""What the pages of studies in a cycle of tasks have as tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean, median

from morphir_agents.comparison.statistics import figures
from studies.visits import RECOVERED, Visit


def mean_of(column: str) -> Callable[[Visit], float]:
    """A measure of actor and critics together."""
    return lambda visit: fmean(visit.measures[f"{who}/{column}"] for who in ("actor", "critic"))


def table_of_rounds(found: Mapping[str, Mapping[int, Sequence[Visit]]]) -> list[str]:
    """One line for each method: means over the visits of some rounds."""
    columns: Mapping[str, tuple[Callable[[Visit], float], Sequence[int]]] = {
        "round 1": (lambda visit: visit.end, [0]),
        "round 2": (lambda visit: visit.end, [1]),
        "round 3": (lambda visit: visit.end, [2]),
        "kept": (lambda visit: visit.kept or 0.0, [1, 2]),
        f"steps to {RECOVERED}": (lambda visit: float(visit.recovery), [1, 2]),
        "activated": (mean_of("activated"), [2]),
        "dormant": (mean_of("dormant"), [2]),
    }
    lines = [
        "| method | seeds | " + " | ".join(columns) + " |",
        "| --- " * (2 + len(columns)) + "|",
    ]
    for method, runs in found.items():
        said = [
            figures_of([fmean(map(measure, _of(run, rounds))) for run in runs.values()])
            for measure, rounds in columns.values()
            if runs
        ]
        lines += [f"| {method} | {len(runs)} | " + " | ".join(said) + " |"] if runs else []
    return lines


def table_of_tasks(found: Mapping[str, Mapping[int, Sequence[Visit]]]) -> list[str]:
    """One line for each method: the median over seeds of each visit, task by task."""
    runs = [run for by_seed in found.values() for run in by_seed.values()]
    tasks = list(dict.fromkeys(visit.task for run in runs for visit in run))
    lines = [f"| method | {' | '.join(tasks)} |", "| --- " * (1 + len(tasks)) + "|"]
    for method, by_seed in found.items():
        said = []
        for task in tasks:
            own = [[visit.end for visit in run if visit.task == task] for run in by_seed.values()]
            said.append(", ".join(short(median(ends)) for ends in zip(*own, strict=True)))
        lines += [f"| {method} | {' | '.join(said)} |"] if by_seed else []
    return lines


def _of(run: Sequence[Visit], rounds: Sequence[int]) -> list[Visit]:
    return [visit for visit in run if visit.round in rounds]


def figures_of(values: Sequence[float]) -> str:
    """The median, the interquartile mean and its interval."""
    own = figures(values)
    texts = [short(own.median), short(own.iqm)]
    bounds = (
        "" if own.interval is None else f" ({short(own.interval[0])} to {short(own.interval[1])})"
    )
    return f"{texts[0]}; {texts[1]}{bounds}"


def short(value: float) -> str:
    """As it stands in a table."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
