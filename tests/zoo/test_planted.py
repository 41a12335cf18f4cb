"""What runs the tables of planted bugs fails where a bug gets through."""

from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Report
from tests.zoo import bugs
from tests.zoo.planted import Row, assert_caught, assert_lists_every_bug, assert_nobody_objects


def harmless(patch: Any, rng: Any) -> None:
    """Breaks nothing."""


HARMLESS = ModuleType(__name__)
vars(HARMLESS).update(harmless=harmless)


def grow() -> Report:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    return morphir.transform(model, DeeperPass(at="1"), example_inputs=(torch.randn(3, 4),)).report


def refuse() -> Report:
    return morphir.transform(nn.Linear(4, 4), DeeperPass(at="9")).report


def row(bug: str, place: str, caught_by: str) -> Row:
    return Row(bug, "model", "identity", place, caught_by)


@pytest.mark.parametrize("caught_by", ["certificate", ""])
def test_a_bug_that_nobody_catches_fails(caught_by: str):
    with pytest.raises(AssertionError, match=r"caught by set\(\), expected"):
        assert_caught(row("harmless", "", caught_by), HARMLESS, grow)


def test_a_bug_that_is_said_to_get_through_fails_as_soon_as_somebody_objects():
    assert_caught(row("harmless", "", "nobody"), HARMLESS, grow)
    with pytest.raises(AssertionError, match=r"expected set\(\)"):
        assert_caught(row("harmless", "", "nobody"), HARMLESS, refuse)


def test_a_bug_that_others_catch_as_well_fails():
    with pytest.raises(AssertionError, match=r"expected \{'certificate'\}"):
        assert_caught(row("rolled eye", "@1_deeper1", "certificate"), bugs, grow)


def test_a_bug_that_is_caught_elsewhere_fails():
    assert_caught(row("harmless", "no module '9'", "refused"), HARMLESS, refuse)
    with pytest.raises(AssertionError, match="expected elsewhere in"):
        assert_caught(row("harmless", "elsewhere", "refused"), HARMLESS, refuse)


def test_an_objection_without_a_bug_fails():
    assert_nobody_objects(grow)
    with pytest.raises(AssertionError, match=r"with seed 0: \{'refused'"):
        assert_nobody_objects(refuse)


def test_a_bug_without_a_row_and_a_row_without_a_checker_fail():
    assert_lists_every_bug([row("harmless", "", "certificate")], HARMLESS)
    with pytest.raises(AssertionError, match=r"in one of the two only: \{'harmless'\}"):
        assert_lists_every_bug([], HARMLESS)
    with pytest.raises(AssertionError, match="a row names nobody"):
        assert_lists_every_bug([row("harmless", "", "")], HARMLESS)
