"""Planted bugs where numbers and masks change and no axis does."""

from functools import partial

import pytest
import torch

from tests.zoo import number_bugs
from tests.zoo.number_changes import CHANGES, REFUSED, UNPROVED, report_of
from tests.zoo.planted import (
    MANY_SEEDS,
    Row,
    assert_caught,
    assert_lists_every_bug,
    assert_nobody_objects,
    objections,
    rows,
)

ROWS = rows("Masks and numbers")


@pytest.mark.parametrize("change", sorted({*CHANGES} - {REFUSED, *UNPROVED}), ids=" ".join)
def test_without_a_bug_nobody_objects(change: tuple[str, str]):
    assert_nobody_objects(partial(report_of, *change))


@pytest.mark.parametrize("change", UNPROVED, ids=" ".join)
def test_without_a_bug_nobody_but_the_certificate_objects(change: tuple[str, str]):
    torch.manual_seed(0)
    assert {*objections(partial(report_of, *change))} == {"certificate", "train"}
    planted = [row for row in ROWS if (row.model, row.change) == change]
    assert all({*row.checkers} > {"certificate", "train"} for row in planted), "adds nobody"


def test_without_a_bug_a_mask_that_a_forward_reads_is_none():
    """MASK-1, MASK-10: since the model is recorded again"""
    (said,) = objections(partial(report_of, *REFUSED)).values()
    assert "is not the mask of 'layer.weight': a forward reads or writes it" in said


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_by_those_the_table_names(row: Row):
    assert_caught(row, number_bugs, partial(report_of, row.model, row.change))


@pytest.mark.nightly
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.bug)
def test_every_bug_is_caught_with_twenty_seeds(row: Row):
    assert_caught(row, number_bugs, partial(report_of, row.model, row.change), MANY_SEEDS)


def test_every_bug_is_in_the_table_and_every_change_has_one():
    assert_lists_every_bug(ROWS, number_bugs)
    assert {*CHANGES} == {(row.model, row.change) for row in ROWS}
