"""An attempt: one trial, carried out once."""

import pytest
import torch

from morphir import CompactPass, DeeperPass, RefusalError, WiderPass
from morphir.testing import Recipe, Site, Step
from morphir.testing.trials import Attempt, Trial, factory_of

RECIPE = Recipe((Step("linear", number=1), Step("relu")), weights="random")


def test_a_trial_names_a_site_modulo_how_many_there_are():
    attempts = [Attempt(Trial(RECIPE, n, 5), factory_of(WiderPass), WiderPass) for n in range(3)]
    assert [each.site for each in attempts] == [
        Site("linear1", 8, 5), Site("head", 3, 5), Site("linear1", 8, 5)
    ]  # fmt: skip
    assert attempts[0].pass_ == WiderPass("linear1", width=11, seed=5)


def test_options_are_filled_in_where_a_pass_has_them():
    site = Site("linear1", 8, 3)
    assert factory_of(DeeperPass)(site) == DeeperPass("linear1", seed=3)
    assert factory_of(CompactPass)(site) == CompactPass()


def test_what_became_of_it_is_a_result_a_refusal_or_an_error():
    applied = Attempt(Trial(RECIPE), factory_of(WiderPass), WiderPass)
    assert applied.result is applied.outcome
    assert applied.seen[1:] == ("", "")
    assert "WiderPass(at='linear1', width=9)" in str(applied.case)
    refused = Attempt(Trial(RECIPE, 1), factory_of(WiderPass), WiderPass)
    assert isinstance(refused.outcome, RefusalError)
    assert refused.result is None
    idle = Attempt(Trial(RECIPE), factory_of(CompactPass), CompactPass)
    assert idle.outcome is not None
    assert idle.result is None

    assert refused.is_refused
    assert refused.is_asked

    def broken(site: Site) -> WiderPass:
        raise KeyError(site.at)

    assert isinstance(Attempt(Trial(RECIPE), broken, None).outcome, KeyError)


def test_options_that_are_refused_are_not_asked_about():
    attempt = Attempt(Trial(RECIPE), lambda site: WiderPass(site.at, width=0), None)
    assert attempt.is_refused
    assert not attempt.is_asked


@pytest.mark.parametrize("training", [False, True])
def test_applying_again_gives_another_module(training: bool):
    attempt = Attempt(Trial(RECIPE), factory_of(WiderPass), WiderPass)
    result = attempt.again(training=training)
    assert result.module is not attempt.result.module
    assert result.module.training is training
    mine, theirs = attempt.outputs(result.module), attempt.outputs(attempt.module)
    torch.testing.assert_close(mine, theirs)
