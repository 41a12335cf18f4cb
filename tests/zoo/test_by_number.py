"""The table by number: every one is planted, by bugs that have rows, and caught as they are."""

import pytest

from tests.zoo import test_checker_bugs
from tests.zoo.planted import Row, rows, table

SECTIONS = [
    "Inserted layers",
    "What belongs to a model",
    "Axes that change",
    "Parts of axes",
    "What goes",
    "Ends and data",
    "What begins anew",
    "Masks and numbers",
    "Edits by hand, replays, files",
]
OF_PASSES, OF_CHECKERS = range(1, 31), range(31, 36)
OUR_OWN = 20

PLANTED: list[Row] = [row for section in SECTIONS for row in rows(section)]
NUMBERED = {int(number): cells for number, *cells in table("By number")}


def bugs_of(number: int) -> list[str]:
    return NUMBERED[number][1].split(", ")


def test_every_number_is_there_once():
    assert [int(number) for number, *_ in table("By number")] == [*OF_PASSES, *OF_CHECKERS]
    assert all(what for what, *_ in NUMBERED.values())


@pytest.mark.parametrize("number", OF_PASSES)
def test_every_number_is_planted_and_caught(number: int):
    _, _, caught_by = NUMBERED[number]
    checkers = {
        name
        for bug in bugs_of(number)
        for row in _rows_of(bug)
        for name in row.checkers or pytest.fail(f"{bug} gets through")
    }
    assert {*caught_by.split(", ")} == checkers


def _rows_of(bug: str) -> list[Row]:
    found = [row for row in PLANTED if row.bug == bug]
    assert found, f"{bug!r} has no row"
    return found


@pytest.mark.parametrize("number", OF_CHECKERS)
def test_every_bug_of_a_checker_has_a_test(number: int):
    (name,) = bugs_of(number)
    assert name.startswith(f"test_zoo_{number}_")
    assert callable(getattr(test_checker_bugs, name))


def test_there_are_bugs_of_our_own():
    """As many again are on nobody's list, of every kind."""
    named = {bug for number in OF_PASSES for bug in bugs_of(number)}
    own = {row.bug for row in PLANTED if row.checkers} - named
    assert len(own) >= OUR_OWN
    for section in SECTIONS:
        assert not own.isdisjoint(row.bug for row in rows(section)), section
