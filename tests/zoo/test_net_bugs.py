"""Planted bugs where axes have parts, where something goes or begins anew, and at the ends."""

from functools import partial
from types import ModuleType

import pytest

from tests.zoo import branch_bugs, end_bugs, part_bugs, removal_bugs
from tests.zoo.changes import CHANGES, REFUSED, report_of
from tests.zoo.planted import (
    MANY_SEEDS,
    Row,
    assert_caught,
    assert_lists_every_bug,
    assert_nobody_objects,
    objections,
    rows,
)

TABLES = {
    "Parts of axes": part_bugs,
    "What goes": removal_bugs,
    "Ends and data": end_bugs,
    "What begins anew": branch_bugs,
}
PLANTED = [(module, row) for section, module in TABLES.items() for row in rows(section)]


@pytest.mark.parametrize("change", sorted({*CHANGES} - {*REFUSED}), ids=" ".join)
def test_without_a_bug_nobody_objects(change: tuple[str, str]):
    assert_nobody_objects(partial(report_of, *change))


@pytest.mark.parametrize("change", REFUSED, ids=" ".join)
def test_without_a_bug_what_does_not_fit_is_refused(change: tuple[str, str]):
    assert [*objections(partial(report_of, *change))] == ["refused"]


@pytest.mark.parametrize(("module", "row"), PLANTED, ids=lambda each: getattr(each, "bug", ""))
def test_every_bug_is_caught_by_those_the_table_names(module: ModuleType, row: Row):
    assert_caught(row, module, partial(report_of, row.model, row.change))


@pytest.mark.nightly
@pytest.mark.parametrize(("module", "row"), PLANTED, ids=lambda each: getattr(each, "bug", ""))
def test_every_bug_is_caught_with_twenty_seeds(module: ModuleType, row: Row):
    assert_caught(row, module, partial(report_of, row.model, row.change), MANY_SEEDS)


@pytest.mark.parametrize("section", TABLES)
def test_every_bug_is_in_the_table(section: str):
    assert_lists_every_bug(rows(section), TABLES[section])


def test_every_change_has_a_bug():
    assert {*CHANGES} == {(row.model, row.change) for _, row in PLANTED}
