"""`assert_preserves`: results and refusals come back, all else is an error that says where."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import morphir
from morphir import DeeperPass, Grade, PruneDormantPass, RefusalError, TransformResult, WiderPass
from morphir.ir import Check, Report
from morphir.testing import (
    PreservationError,
    Recipe,
    Step,
    assert_preserves,
    build,
    recipes,
    sites,
    to_source,
)
from morphir.testing.preserving import used_optimizer
from morphir.testing.snapshots import difference, snapshot
from tests.specimens import Agent
from tests.testing.third_party import SwapUnitsPass

RECIPE = Recipe((Step("linear", number=1), Step("relu"), Step("residual")), weights="random")


@settings(max_examples=10)
@given(st.data())
def test_testing_5_what_is_applied_is_proved_or_refused(data: st.DataObject):
    """TESTING-5"""
    module = build(data.draw(recipes(max_steps=4)))
    at = data.draw(sites(module, DeeperPass))
    found = assert_preserves(DeeperPass(at=at, block="residual"), module)
    assert isinstance(found, RefusalError) or found.report.grade is Grade.PROVED


def test_a_pass_of_somebody_else_is_verified():
    module = build(RECIPE)
    before = snapshot(module)
    found = assert_preserves(SwapUnitsPass("linear1"), module)
    assert isinstance(found, TransformResult)
    assert not torch.equal(found.module.linear1.weight, module.linear1.weight)
    assert not difference(before, snapshot(module))


def test_testing_5_a_refusal_is_returned():
    """TESTING-5"""
    found = assert_preserves(SwapUnitsPass("head"), build(RECIPE))
    assert isinstance(found, RefusalError)
    assert found.nodes == ("head",)


def test_testing_5_what_is_wrong_says_where_with_which_module_pass_and_seed():
    """TESTING-5"""
    module = build(RECIPE)
    with pytest.raises(PreservationError) as caught:
        assert_preserves(SwapUnitsPass("linear1", bug="forgets the readers"), module, seed=3)
    failure = caught.value
    text = str(failure)
    assert failure.report.grade is Grade.REFUTED
    assert failure.where.startswith("forward: %3: f32[B, 3] = linear(input=%2, weight=@head.weight")
    assert "forward on one-hots: output '' (float64)" in failure.where
    assert f"at {failure.where}" in text
    assert "pass: SwapUnitsPass(at='linear1', bug='forgets the readers')\nseed: 3\n" in text
    assert all(line.strip() in text for line in to_source(RECIPE).splitlines())


@pytest.mark.parametrize(
    ("bug", "where"),
    [("changes the original", "linear1.weight"), ("draws from the user", "the random state")],
)
def test_what_a_pass_does_beside_its_work_is_found(bug: str, where: str):
    with pytest.raises(PreservationError, match=f"at {where}"):
        assert_preserves(SwapUnitsPass("linear1", bug=bug), build(RECIPE))


def test_another_error_is_a_failure():
    with pytest.raises(PreservationError, match=r"SwapUnitsPass\(.*\) on Net fails: KeyError"):
        assert_preserves(SwapUnitsPass("head", bug="fails where it should refuse"), build(RECIPE))


def test_an_optimizer_that_a_reproduction_has_not_is_named():
    module = build(RECIPE)
    sgd = torch.optim.SGD(module.parameters(), lr=0.1)
    failing = SwapUnitsPass("head", bug="fails where it should refuse")
    with pytest.raises(PreservationError, match="on Net with the given SGD fails: KeyError"):
        assert_preserves(failing, module, optimizer=sgd)


def test_the_result_is_verified_anew(monkeypatch: pytest.MonkeyPatch):
    """Whatever the application has found, a wrong module is found once more."""

    def wrong(*arguments, **options):
        result = morphir.transform(*arguments, **options)
        with torch.no_grad():
            result.module.head.bias[0] += 1
        return result

    monkeypatch.setattr("morphir.testing.preserving.transform", wrong)
    with pytest.raises(PreservationError, match="is REFUTED, and it claims PROVED") as caught:
        assert_preserves(WiderPass("linear1", width=12), build(RECIPE))
    assert "head.bias" in caught.value.where
    assert caught.value.certificate is not None


def test_testing_5_a_result_that_cannot_be_verified_is_no_refusal(monkeypatch: pytest.MonkeyPatch):
    """TESTING-5"""

    def refuse(*models: object, **options: object) -> None:
        raise RefusalError("'forward' failed on its example inputs", nodes=["head"])

    monkeypatch.setattr("morphir.testing.preserving.verify", refuse)
    with pytest.raises(PreservationError, match="can't be verified: 'forward' failed") as caught:
        assert_preserves(WiderPass("linear1", width=12), build(RECIPE))
    assert caught.value.where == "head"
    assert caught.value.certificate is not None


@pytest.mark.parametrize("claim", [Grade.TESTED, Grade.PROVED])
def test_testing_5_what_nothing_exercises_is_held_to_a_proof_only(
    claim: Grade, monkeypatch: pytest.MonkeyPatch
):
    """TESTING-5"""
    idle = Check("float64", Grade.UNKNOWN, "it never changed", figures={"inputs": 9.0})
    report = Report(Grade.UNKNOWN, checks=(idle,))
    monkeypatch.setattr("morphir.testing.preserving.verify", lambda *a, **b: report)
    monkeypatch.setattr(WiderPass, "claim", claim)
    if claim is Grade.TESTED:
        assert assert_preserves(WiderPass("linear1", width=12), build(RECIPE)).report is not report
    else:
        with pytest.raises(PreservationError, match="is UNKNOWN, and it claims PROVED"):
            assert_preserves(WiderPass("linear1", width=12), build(RECIPE))


def test_what_is_empirical_is_not_held_to_more():
    module = build(Recipe((Step("linear", number=1), Step("relu")), weights="random"))
    pass_ = PruneDormantPass("linear1", data=(torch.randn(3, 4),), threshold=0.9)
    found = assert_preserves(pass_, module)
    assert found.report.grade is Grade.EMPIRICAL
    assert found.module.linear1.out_features < 8


def test_a_module_of_the_user_with_entry_points_and_inputs():
    agent = Agent()
    found = assert_preserves(
        WiderPass("actor.0", width=10),
        agent,
        example_inputs=(torch.randn(2, 4),),
        entry_points=("get_value", "get_logits"),
    )
    assert found.module.actor[0].out_features == 10
    failing = SwapUnitsPass("actor.0", bug="forgets the readers")
    with pytest.raises(PreservationError, match=re.escape("(actor): Sequential(")):
        assert_preserves(
            failing, agent, example_inputs=(torch.randn(2, 4),), entry_points=("get_logits",)
        )


def test_the_optimizer_has_state_and_the_module_is_as_it_was():
    module = build(RECIPE)
    before = snapshot(module)
    optimizer = used_optimizer(module, seed=0)
    assert not difference(before, snapshot(module))
    assert optimizer.state[module.head.weight]["exp_avg"].abs().sum() > 0
    assert used_optimizer(torch.nn.ReLU(), seed=0) is None
