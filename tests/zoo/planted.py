"""Plants the bugs of a table, one row at a time, and looks who catches them.

The tables stand in spec/certificate.md and are read from there. A checker stands in a row if it
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

from morphir import Grade, RefusalError, TransformResult, VerificationError

SEEDS, MANY_SEEDS = range(4), range(20)
EVERY_CHECKER = ("certificate", "runs", "field")
SPEC = Path(__file__).parents[2] / "spec" / "certificate.md"

Change = Callable[[], TransformResult]


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


def rows(head: str) -> list[Row]:
    """The rows of the table that starts with a head."""
    table = SPEC.read_text(encoding="utf8").partition(head)[2].partition("\n\n")[0]
    lines = table.splitlines()[2:]
    return [Row(*(cell.strip(" `") for cell in line.strip("|").split("|"))) for line in lines]


def objections(change: Change) -> dict[str, str]:
    """The checkers that object to a change of a model, each with the place that it names."""
    try:
        report = change().report
    except RefusalError as error:
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
    """With every seed, those that the row names object, nobody else does so, and one says where."""
    outcomes = []
    for seed in seeds:
        torch.manual_seed(seed)
        with pytest.MonkeyPatch.context() as patch:
            getattr(bugs, row.function)(patch, random.Random(seed))
            outcomes.append(objections(change))
    always = set.intersection(*(set(outcome) for outcome in outcomes))
    expected = set(row.caught_by.split(", "))
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
