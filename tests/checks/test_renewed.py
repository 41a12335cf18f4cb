"""KEPT-11: what optimizers keep of new numbers is what fresh ones would."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch

from morphir.checks.renewed import Renewed, check_renewed, kept_of
from morphir.ir import Check, Grade

OLD = torch.tensor([[1.0, 2.0, 0.0], [3.0, -4.0, 5.0]])
NEW = torch.tensor([[1.0, 7.0, 0.0], [3.0, -4.0, 5.0]])
USED = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
NOW_USED = torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])
ANEW = torch.tensor([[False, False, False], [True, False, False]])
PLACES = torch.tensor([[False, True, True], [True, False, False]])
MEAN = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])
FRESH = torch.where(PLACES, 0.0, MEAN)


def problem(
    entry: str,
    now: torch.Tensor | None,
    *,
    kept: torch.Tensor = MEAN,
    restarts: bool = False,
    **more: torch.Tensor,
) -> str:
    after: Mapping[str, torch.Tensor] = {} if now is None else {entry: now}
    renewed = Renewed(
        "0.weight", (OLD, NEW), (USED, NOW_USED), ANEW, {entry: kept}, {**after, **more}, restarts
    )
    check = check_renewed([renewed])
    assert check.name == "carried"
    assert check.grade in (Grade.TESTED, Grade.REFUTED)
    assert (check.where == "0.weight") is (check.grade is Grade.REFUTED)
    return check.summary.removeprefix("KEPT-11: ") if check.grade is Grade.REFUTED else ""


def test_kept_11_a_number_that_is_another_one_in_use_or_anew_has_fresh_state():
    """KEPT-11: each of the three for itself"""
    assert problem("exp_avg", FRESH) == ""
    for row, column in PLACES.nonzero().tolist():
        wrong = FRESH.clone()
        wrong[row, column] = MEAN[row, column]
        assert problem("exp_avg", wrong) == "exp_avg was kept where numbers are new"


def test_kept_11_elsewhere_it_is_what_it_was_to_the_bit():
    """KEPT-11"""
    for row, column in (~PLACES).nonzero().tolist():
        wrong = FRESH.clone()
        wrong[row, column] = torch.nextafter(wrong[row, column], torch.tensor(9.0))
        assert "another one where numbers are what they were" in problem("exp_avg", wrong)
    signed = MEAN.clone()
    signed[1, 1] = -0.0
    zero = torch.where(PLACES, 0.0, signed)
    assert problem("exp_avg", zero, kept=signed) == ""
    zero[1, 1] = 0.0
    assert problem("exp_avg", zero, kept=signed)


def test_kept_11_what_starts_elsewhere_is_one_number_for_all():
    """KEPT-11: Adagrad's sums, and a mean of parameters, which is where these are"""
    assert problem("sum", torch.where(PLACES, 0.1, MEAN)) == ""
    assert problem("exp_avg", torch.where(PLACES, 0.1, MEAN))
    two = torch.where(PLACES, torch.tensor([[0.1, 0.2, 0.1]]), MEAN)
    assert problem("sum", two) == "sum was kept where numbers are new"
    assert problem("ax", torch.where(PLACES, NEW, MEAN)) == ""
    assert problem("ax", torch.where(PLACES, OLD, MEAN))


def test_kept_11_what_is_gone_or_has_another_shape_is_found():
    """KEPT-11"""
    for now in (None, FRESH[:1], FRESH.double()):
        assert problem("exp_avg", now) == "exp_avg has gone, or has another shape or dtype"
    step = torch.tensor(3.0)
    assert problem("step", torch.tensor(4.0), kept=step) == "", "KEPT-4 has a look at these"
    assert problem("row", torch.ones(2), kept=torch.zeros(2)) == "", "and at these"


def test_kept_11_what_follows_a_count_of_steps_is_looked_at():
    """KEPT-11"""
    before = {"step": torch.tensor(3.0), "exp_avg": MEAN}
    one = Renewed("a", (OLD, NEW), (USED, USED), None, before, before)
    assert check_renewed([one]).summary == "KEPT-11: exp_avg was kept where numbers are new"


def test_kept_11_the_one_number_of_a_scalar_has_fresh_state():
    """KEPT-11: and its count of steps goes on"""
    numbers, masks = (torch.tensor(1.0), torch.tensor(7.0)), (torch.tensor(1.0),) * 2
    steps = {"step": torch.tensor(3.0), "step (1)": torch.tensor(4.0)}
    before = {**steps, "exp_avg": torch.tensor(0.1)}
    kept = Renewed("a", numbers, masks, None, before, before)
    assert check_renewed([kept]).summary == "KEPT-11: exp_avg was kept where numbers are new"
    fresh = replace(kept, now={**before, "exp_avg": torch.tensor(0.0)})
    assert check_renewed([fresh]).grade is Grade.TESTED


def test_kept_11_where_no_number_is_new_all_is_kept():
    """KEPT-11"""
    before = {"exp_avg": MEAN}
    same = Renewed("a", (OLD, OLD), (USED, USED), None, before, before)
    assert check_renewed([same]).grade is Grade.TESTED


def test_kept_11_a_mean_of_parameters_may_be_of_another_dtype():
    """KEPT-11: and starts at the numbers as that dtype has them"""
    before, now = {"ax": OLD.bfloat16()}, {"ax": MEAN.bfloat16()}
    rounded = Renewed("a", (OLD, MEAN), (USED, USED), None, before, now)
    assert check_renewed([rounded]).grade is Grade.TESTED


def test_kept_11_of_what_restarts_nothing_is_kept_or_no_step_is_counted():
    """KEPT-11"""
    assert problem("exp_avg", None, restarts=True) == ""
    assert problem("exp_avg", torch.zeros(2, 3), restarts=True, step=torch.tensor(0.0)) == ""
    assert problem("exp_avg", FRESH, restarts=True) == "exp_avg was to be dropped"
    assert (
        problem("exp_avg", None, restarts=True, step=torch.tensor(2.0)) == "step was to be dropped"
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_and_whole_numbers_are_compared_as_others_are(dtype: torch.dtype):
    """KEPT-11"""
    twice = (MEAN + 2j * MEAN).to(dtype)
    fresh = torch.where(PLACES, torch.zeros(()).to(twice), twice)
    assert problem("exp_avg", fresh, kept=twice) == ""
    wrong = fresh.clone()
    wrong[1, 2] += 1j
    assert problem("exp_avg", wrong, kept=twice)
    counts = torch.arange(6).reshape(2, 3) + 1
    assert problem("own", torch.where(PLACES, 0, counts), kept=counts) == ""


def test_what_is_kept_is_found_in_every_optimizer():
    weight = torch.nn.Parameter(torch.ones(2))
    optimizers = [torch.optim.Adam([weight]), torch.optim.SGD([weight], momentum=0.9)]
    assert kept_of(weight, optimizers) == {}
    weight.sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    optimizers[0].state[weight]["note"] = "no number"
    assert [*kept_of(weight, optimizers)] == [
        "step",
        "exp_avg",
        "exp_avg_sq",
        "momentum_buffer (1)",
    ]


@pytest.mark.parametrize("count", [1, 2])
def test_how_much_was_looked_at_is_said(count: int):
    one = Renewed(
        "a", (OLD, NEW), (USED, USED), None, {"exp_avg": MEAN}, {"exp_avg": MEAN * (OLD == NEW)}
    )
    noun = "tensor" if count == 1 else "tensors"
    summary = f"{count} {noun} of optimizer state as fresh where numbers are new"
    expected = Check("carried", Grade.TESTED, summary, "", {"tensors": float(count)})
    assert check_renewed([one] * count) == expected
