"""KEPT-12: a model has the numbers and masks that it was given."""

import pytest
import torch

from morphir.checks.given import Given, check_given
from morphir.ir import Check, Grade

OLD = torch.tensor([[1.0, 2.0, 0.0], [3.0, -4.0, 5.0]])
USED = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
MASK = torch.tensor([[1.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
ONES = torch.ones(2, 3)
NUMBERS = torch.tensor([[7.0, 0.0, 0.5], [3.0, -4.0, 0.0]])


def problem(now: torch.Tensor, in_use: torch.Tensor = MASK, **plan) -> str:
    planned = {"given": None, "mask": MASK, **plan}
    check = check_given([Given("0.weight", (OLD, now), (USED, in_use), **planned)])
    assert check.name == "numbers"
    assert check.grade in (Grade.TESTED, Grade.REFUTED)
    assert (check.where == "0.weight") is (check.grade is Grade.REFUTED)
    return check.summary.removeprefix("KEPT-12: ") if check.grade is Grade.REFUTED else ""


def changed(tensor: torch.Tensor, place: tuple[int, int], number: float) -> torch.Tensor:
    new = tensor.clone()
    new[place] = number
    return new


def test_kept_12_what_was_only_masked_is_what_it_was_but_0_behind_the_mask():
    """KEPT-12: what begins to be in use begins at 0"""
    assert problem(OLD * MASK) == ""
    for place, number in (((0, 0), 1.0000001), ((1, 1), 0.0), ((0, 2), 1e-30)):
        assert "not those that were planned" in problem(changed(OLD * MASK, place, number))


def test_kept_12_numbers_are_those_that_were_given():
    """KEPT-12"""
    assert problem(NUMBERS, given=NUMBERS) == ""
    tenths = NUMBERS.double() / 10
    assert problem(tenths.float(), given=tenths) == "", "in the dtype of the parameter"
    assert "not those that were planned" in problem(OLD * MASK, given=NUMBERS)
    assert problem(OLD + 1, ONES, given=OLD + 1, mask=ONES) == ""


@pytest.mark.parametrize("given", [None, changed(NUMBERS, (0, 2), 0.0)])
def test_kept_12_numbers_in_use_are_right_to_the_bit(given: torch.Tensor | None):
    """KEPT-12: behind a mask any zero is one"""
    now = OLD * MASK if given is None else given
    assert "not those that were planned" in problem(changed(now, (0, 2), -0.0), given=given)
    behind = changed(now, (0, 1), -0.0)
    assert problem(behind, given=None if given is None else behind) == ""


@pytest.mark.parametrize(
    "in_use", [USED, ONES, 1 - MASK, changed(MASK, (0, 0), 0), changed(MASK, (0, 1), 1)]
)
def test_kept_12_masks_are_those_that_were_given(in_use: torch.Tensor):
    """KEPT-12"""
    assert "its mask is not the one that was planned" in problem(OLD * in_use, in_use)
    rounded = MASK.double() * (1 + 1e-12)
    assert problem(OLD * MASK, mask=rounded) == "", "in the dtype of the old mask"
    same = problem(OLD * USED, USED, mask=None, given=OLD * USED)
    assert same == "", "one that was not given stays"
    assert "its mask is not" in problem(OLD * MASK, MASK, mask=None, given=OLD * MASK)


def test_kept_12_behind_a_mask_there_are_zeros():
    """KEPT-12, MASK-1: whatever was planned"""
    wrong = changed(OLD * MASK, (0, 1), 1e-30)
    assert problem(wrong)
    assert "1 of its numbers are not 0 behind its mask" in problem(wrong, given=wrong)
    half = changed(MASK, (0, 0), 0.5)
    assert "numbers other than 0 and 1" in problem(OLD * MASK, half, given=OLD * MASK, mask=half)


@pytest.mark.parametrize(("most", "is_fine"), [(None, True), (3, True), (2, True), (1, False)])
def test_kept_12_no_more_numbers_cease_to_be_in_use_than_may(most: int | None, is_fine: bool):
    """KEPT-12: two do, and one begins to be"""
    found = problem(OLD * MASK, most=most)
    assert found == ("" if is_fine else "2 of its numbers cease to be in use, where 1 may")


def test_how_much_was_looked_at_is_said():
    one = Given("a", (OLD, OLD * MASK), (USED, MASK), None, MASK)
    other = Given("b", (OLD, NUMBERS), (MASK, MASK), NUMBERS, None)
    found, figures = "2 tensors and 1 mask as planned", {"tensors": 2.0}
    assert check_given([one, other]) == Check("numbers", Grade.TESTED, found, "", figures)
    assert check_given([one, one, other]).summary == "3 tensors and 2 masks as planned"
