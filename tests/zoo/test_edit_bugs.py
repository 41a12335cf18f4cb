"""Planted bugs in edits by hand, replays, files and models in lockstep."""

import pytest
import torch

from tests.zoo import edit_bugs
from tests.zoo.edits import EDITS
from tests.zoo.planted import (
    MANY_SEEDS,
    Row,
    assert_caught,
    assert_lists_every_bug,
    assert_nobody_objects,
    objections,
    rows,
)

ROWS = rows("Edits by hand, replays, files")
# What has no lemma, and no equal in the field: the right edit is not proved either.
UNPROVED = {
    ("masked", "unmask"): {"certificate", "train"},
    ("twice", "fold norm"): {"certificate", "train", "field"},
}


@pytest.mark.parametrize("edit", sorted({*EDITS} - {*UNPROVED}), ids=" ".join)
def test_without_a_bug_nobody_objects(edit: tuple[str, str]):
    assert_nobody_objects(EDITS[edit])


@pytest.mark.parametrize("edit", UNPROVED, ids=" ".join)
def test_without_a_bug_no_run_objects(edit: tuple[str, str]):
    torch.manual_seed(0)
    assert {*objections(EDITS[edit])} == UNPROVED[edit]
    planted = [row for row in ROWS if (row.model, row.change) == edit]
    assert planted
    assert all({*row.checkers} > UNPROVED[edit] for row in planted), "a bug has to add somebody"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_by_those_the_table_names(row: Row):
    assert_caught(row, edit_bugs, EDITS[row.model, row.change])


@pytest.mark.nightly
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_with_twenty_seeds(row: Row):
    assert_caught(row, edit_bugs, EDITS[row.model, row.change], MANY_SEEDS)


def test_every_bug_is_in_the_table_and_every_edit_has_one():
    assert_lists_every_bug(ROWS, edit_bugs)
    assert {*EDITS} == {(row.model, row.change) for row in ROWS}
