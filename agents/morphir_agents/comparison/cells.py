"""Which runs are seeds of the same thing.

COMPARE-5   runs share a cell if and only if they have the same recipe and the same values of the
            fields that are compared by: unless told otherwise, every field but the seed in which
            runs of one recipe differ. A cell has one task, and no run twice.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

from morphir_agents.comparison.runs import ComparedRun
from morphir_agents.errors import ComparisonError

__all__ = ["Cell", "shown", "sort_into_cells"]


@final
@dataclass(frozen=True)
class Cell:
    """The runs of one kind, in the order of their seeds."""

    label: str
    settings: dict[str, Any]
    """The fields that it is told apart by, those that its recipe has."""
    runs: tuple[ComparedRun, ...]

    @property
    def pooled(self) -> list[str]:
        """The fields in which its runs differ all the same, because it was asked for."""
        return _differing(self.runs)


def sort_into_cells(runs: Sequence[ComparedRun], by: Sequence[str] = ()) -> tuple[Cell, ...]:
    """Cells in the order in which their first runs were given (COMPARE-5).

    Args:
        runs: At least one.
        by: Names of fields, as in config.json; by default, those in which runs of a recipe differ.

    Raises:
        ComparisonError: A name is no field, a cell would have several tasks, or a run twice.
    """
    tasks = list(dict.fromkeys(run.task for run in runs))
    if not by and _several(run.environment for run in runs):
        raise ComparisonError(
            f"These are runs of different tasks: {', '.join(tasks)}"
            f"{'' if len(tasks) > 1 else ', with different settings'}. Their returns can't be held "
            "against each other. Leave some out, or say what to tell apart with --by: for example "
            f"--by {' '.join(_differing(runs, 'env.'))}"
        )
    names = [_field(name, runs) for name in by] or _automatic(runs)
    groups: dict[str, list[ComparedRun]] = {}
    for run in runs:
        key = json.dumps([run.recipe, *(run.fields.get(name) for name in names)])
        groups.setdefault(key, []).append(run)
    several_recipes = _several(run.recipe for run in runs)
    return tuple(_cell(group, names, several_recipes) for group in groups.values())


def shown(value: Any) -> str:
    """A value of a configuration as on the command line."""
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _cell(runs: list[ComparedRun], names: Sequence[str], several_recipes: bool) -> Cell:
    recipe, fields = runs[0].recipe, runs[0].fields
    settings = {name: fields[name] for name in names if name in fields}
    parts = [f"{n.removesuffix('.kind')} {shown(value)}" for n, value in settings.items()]
    label = ", ".join([recipe, *parts] if several_recipes or not parts else parts)
    if _several(run.environment for run in runs):
        raise ComparisonError(
            f"The runs of {label} have different tasks. Add to --by what tells them apart: "
            f"{' '.join(_differing(runs, 'env.'))}"
        )
    known: dict[str, ComparedRun] = {}
    for run in runs:
        twin = known.setdefault(json.dumps(run.fields), run)
        if twin is not run:
            raise ComparisonError(
                f"{twin.folder} and {run.folder} are the same run, seed {run.seed} of {label}: to "
                "the last bit, so that they would count as one seed twice. Leave one of them out."
            )
    return Cell(label, settings, tuple(sorted(runs, key=lambda run: run.seed)))


def _automatic(runs: Sequence[ComparedRun]) -> list[str]:
    recipes = dict.fromkeys(run.recipe for run in runs)
    found = [name for r in recipes for name in _differing([x for x in runs if x.recipe == r])]
    return list(dict.fromkeys(found))


def _differing(runs: Sequence[ComparedRun], prefix: str = "") -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.fields if name.startswith(prefix))
    return [n for n in names if n != "seed" and _several(run.fields.get(n) for run in runs)]


def _several(values: Iterable[Any]) -> bool:
    return len({json.dumps(value) for value in values}) > 1


def _field(name: str, runs: Sequence[ComparedRun]) -> str:
    known = {field for run in runs for field in run.fields}
    field = name.replace("-", "_")
    for each in (field, f"{field}.kind"):  # as on the command line, where growth is growth.kind
        if each in known and each != "seed":
            return each
    near = difflib.get_close_matches(field, known - {"seed"})
    raise ComparisonError(
        f"--by {name}: there is no such field to compare by. "
        f"{f'Did you mean {near[0]}? ' if near else ''}"
        f"These runs differ in: {', '.join(_differing(runs)) or 'nothing but the seed'}. Every "
        "field stands in a run's config.json; folders go before --by."
    )
