"""FUZZ-1: what a pass did wrong is found, whatever the checkers say, and is called what it is."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade, PruneDormantPass, Report, WiderPass
from morphir.ir import Check
from morphir.testing import Case, Recipe, Step, build, example_inputs
from morphir.testing.fuzzing import FoundError
from morphir.testing.fuzzing.carrying import states
from morphir.testing.fuzzing.judging import Applied, judge
from morphir.testing.fuzzing.optimizers import made
from morphir.testing.fuzzing.requests import BOX

RECIPE = Recipe((Step("linear", number=1), Step("relu")), weights="random")
CHECKS = ("certificate", "float64")


def feed(seed: int):
    given = example_inputs(RECIPE, rows=4, seed=seed)
    return given, given


def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(*example_inputs(RECIPE)["forward"]).square().mean().backward()
    optimizer.step()


def applied(pass_: Any = None) -> Applied:
    model = build(RECIPE)
    optimizer = made("adam", model)
    train(model, optimizer)
    pass_ = WiderPass("linear1", 11) if pass_ is None else pass_
    case = Case(pass_, model, example_inputs(RECIPE), ("forward",))
    moments = states(model, optimizer)
    result = morphir.transform(model, pass_, optimizer=optimizer)
    return Applied("widen", case, moments, result, feed, train)


def weight_is_off(applied: Applied) -> None:
    with torch.no_grad():
        applied.result.module.head.weight[0, 0] += 1e-3


def gradient_is_off(applied: Applied) -> None:
    twice = applied.result.module.relu1.register_full_backward_hook
    twice(lambda module, given, found: tuple(2 * each for each in given))


def moment_is_off(applied: Applied) -> None:
    weight = applied.result.module.linear1.weight
    applied.result.optimizer.state[weight]["exp_avg"] *= 2


def parameter_is_forgotten(applied: Applied) -> None:
    applied.result.optimizer.param_groups[0]["params"].pop()


def state_has_another_shape(applied: Applied) -> None:
    optimizer = applied.result.optimizer
    optimizer.state[applied.result.module.linear1.bias]["step"] = torch.ones(3)


@pytest.mark.parametrize(
    ("bug", "kind", "message"),
    [
        (weight_is_off, "wrong verdict", "PROVED, but forward differs by"),
        (gradient_is_off, "gradients", "the gradient of linear1.weight is off"),
        (moment_is_off, "moments", "exp_avg of linear1.weight is off"),
        (parameter_is_forgotten, "optimizer", "head.weight is 0 times in the optimizer"),
        (state_has_another_shape, "moments", "step of linear1.bias has the shape"),
    ],
)
def test_fuzz_1_a_bug_is_called_what_it_is(bug: Callable[[Applied], None], kind: str, message: str):
    """FUZZ-1"""
    each = applied()
    judge(each, CHECKS)
    bug(each)
    with pytest.raises(FoundError, match=message) as found:
        judge(each, CHECKS)
    assert found.value.kind == kind
    assert found.value.case is each.case


def test_fuzz_1_training_that_fails_is_a_crash():
    """FUZZ-1"""

    def fails(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        raise RuntimeError("no step")

    with pytest.raises(
        FoundError, match=r"training after WiderPass.*RuntimeError: no step"
    ) as found:
        judge(replace(applied(), train=fails), CHECKS)
    assert found.value.kind == "crash"


@pytest.mark.parametrize("grade", [Grade.REFUTED, Grade.UNKNOWN, Grade.TESTED])
def test_fuzz_1_a_checker_that_objects_alone_is_a_false_alarm(
    grade: Grade, monkeypatch: pytest.MonkeyPatch
):
    """FUZZ-1"""
    alarm = Report(grade, checks=(Check("certificate", Grade.UNKNOWN, "it has no rule"),))
    monkeypatch.setattr("morphir.testing.fuzzing.judging.verify", lambda *a, **b: alarm)
    message = f"PROVED, and {grade} again: certificate: it has no rule"
    with pytest.raises(FoundError, match=message) as found:
        judge(applied(), CHECKS)
    assert found.value.kind == "false alarm"
    judge(applied(), ())


def test_fuzz_1_what_nothing_exercises_is_no_alarm_unless_it_should_be_proved(
    monkeypatch: pytest.MonkeyPatch,
):
    """FUZZ-1"""
    idle = Check("float64", Grade.UNKNOWN, "it never changed", figures={"inputs": 9.0})
    report = Report(Grade.UNKNOWN, checks=(idle,))
    monkeypatch.setattr("morphir.testing.fuzzing.judging.verify", lambda *a, **b: report)
    judge(applied(), ("float64", "native"))
    with pytest.raises(FoundError, match="PROVED, and UNKNOWN again: float64: it never changed"):
        judge(applied(), CHECKS)


def test_fuzz_1_a_weaker_verdict_is_held_to_less():
    """FUZZ-1: a drift is no finding where only data were promised, nor outside of a box"""
    each = applied()
    weight_is_off(each)

    def graded(grade: Grade) -> Applied:
        report = replace(each.result.report, grade=grade)
        return replace(each, result=replace(each.result, report=report))

    judge(graded(Grade.EMPIRICAL), CHECKS)
    with pytest.raises(FoundError, match="TESTED, but forward differs"):
        judge(graded(Grade.TESTED), CHECKS)
    inside = applied(PruneDormantPass(box=BOX))
    judge(inside, CHECKS)
