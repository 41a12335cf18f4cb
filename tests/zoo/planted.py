"""Plants the bugs of a table, one row at a time, and looks who catches them.

The tables stand in spec/zoo.md and are read from there. A checker stands in a row if it
caught the bug with every seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch

from morphir import Grade, RefusalError, Report, StorageError, VerificationError

SEEDS, MANY_SEEDS = range(4), range(20)
EVERY_CHECKER = ("certificate", "runs", "field")
SPEC = Path(__file__).parents[2] / "spec" / "zoo.md"

Change = Callable[[], Report]


@dataclass(frozen=True)
class Row:
    """A bug, the model and the change that it is planted in, a place, and who names it."""

    bug: str
    model: str
    change: str
    place: str
    caught_by: str

    @property
    def function(self) -> str:
        """The name of the function that plants the bug."""
        return self.bug.replace(" ", "_")

    @property
    def checkers(self) -> list[str]:
        """Who objects; none where the row says `nobody`."""
        return [name for name in self.caught_by.split(", ") if name != "nobody"]


def table(section: str) -> list[list[str]]:
    """The cells of the first table of a section, row by row, without its head."""
    _, found, text = SPEC.read_text(encoding="utf8").partition(f"\n## {section}\n")
    assert found, f"there is no section {section!r}"
    lines = [line for line in text.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[2:]]


def rows(section: str) -> list[Row]:
    """The bugs of a section."""
    return [Row(*cells) for cells in table(section)]


def objections(change: Change) -> dict[str, str]:
    """The checkers that object to a change of a model, each with the place that it names."""
    try:
        report = change()
    except (RefusalError, StorageError) as error:
        return {"refused": str(error)}
    except VerificationError as error:
        if error.report is None:
            return {"emission": str(error)}
        report = error.report
    return {
        check.name.removeprefix("certificate (").removesuffix(")"): check.where
        for check in report.checks
        if check.grade in (Grade.UNKNOWN, Grade.REFUTED)
    }


def assert_nobody_objects(change: Change) -> None:
    for seed in SEEDS:
        torch.manual_seed(seed)
        found = objections(change)
        assert not found, f"with seed {seed}: {found}"


def assert_caught(row: Row, bugs: ModuleType, change: Change, seeds: Iterable[int] = SEEDS) -> None:
    """With every seed, those that the row names object, nobody else does so, and one says where.

    A row that names `nobody` is a bug that gets through; it fails as soon as somebody objects.
    """
    outcomes = []
    for seed in seeds:
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            getattr(bugs, row.function)(patch, random.Random(seed))
            outcomes.append(objections(change))
    always = set.intersection(*(set(outcome) for outcome in outcomes))
    expected = {*row.checkers}
    assert always == expected, f"caught by {always}, expected {expected}"
    for outcome in outcomes:
        places = "\n".join(outcome.values())
        assert row.place in places, f"expected {row.place} in {places}"


def assert_lists_every_bug(table: Sequence[Row], bugs: ModuleType) -> None:
    """Every function that plants a bug has a row, and every row names who catches it."""
    planted = {
        name
        for name, value in vars(bugs).items()
        if callable(value)
        and getattr(value, "__module__", "") == bugs.__name__
        and not name.startswith("_")
    }
    listed = {row.function for row in table}
    assert planted == listed, f"in one of the two only: {planted ^ listed}"
    assert all(row.caught_by for row in table), "a row names nobody"
