"""The state machine holds for correct passes, and finds what goes wrong between them."""

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

import morphir
from morphir import CompactPass, DeeperPass, WiderPass
from morphir.testing import Recipe, Site, Step, pass_machine
from morphir.testing.machine import _Life
from morphir.testing.trials import factory_of
from tests.testing.third_party import SwapUnitsPass

FIXED: Any = {
    "derandomize": True,
    "database": None,
    "deadline": None,
    "suppress_health_check": [*HealthCheck],
}
RECIPE = Recipe((Step("linear", number=1), Step("relu")), weights="random")


@pytest.mark.slow
def test_testing_21_passes_between_all_else_that_happens_to_a_model():
    """TESTING-21"""

    def residual(site: Site) -> DeeperPass:
        return DeeperPass(site.at, "residual", seed=site.seed)

    machine = pass_machine([WiderPass, residual, CompactPass, SwapUnitsPass])
    steps = settings(max_examples=8, stateful_step_count=8, **FIXED)
    run_state_machine_as_test(machine, settings=steps)


def test_testing_21_a_pass_that_breaks_the_function_is_found():
    """TESTING-21"""
    machine = pass_machine(
        [lambda site: SwapUnitsPass(site.at, site.seed, "forgets the readers")],
        strategy=st.just(RECIPE),
    )
    steps = settings(max_examples=30, stateful_step_count=3, **FIXED)
    with pytest.raises(AssertionError, match="expected PROVED or better"):
        run_state_machine_as_test(machine, settings=steps)


def life() -> _Life:
    return _Life(RECIPE)


def test_a_life():
    each = life()
    for _ in range(2):
        each.apply(factory_of(WiderPass), WiderPass, 0, 1)
        each.check()
        each.train(3)
        each.save_and_load()
        each.cast(torch.float64)
        each.replay()
        each.check()
    assert each.model.linear1.out_features == 12
    assert each.model.linear1.weight.dtype is torch.float64
    each.apply(factory_of(WiderPass), WiderPass, 1, 1)
    assert each.model.head.out_features == 3, "refused"


def test_options_that_are_refused_are_refusals_too():
    each = life()
    said = each.apply(lambda site: WiderPass(site.at, width=0), None, 0, 0)
    assert "is refused" in said
    assert "width=0" in said


def test_testing_21_what_drifts_is_seen():
    """TESTING-21"""
    each = life()
    each.apply(factory_of(WiderPass), WiderPass, 0, 0)
    with torch.no_grad():
        each.model.head.bias.add_(1e-3)
    with pytest.raises(AssertionError, match="it differs from its reference"):
        each.check()


def test_testing_21_an_optimizer_of_another_model_is_seen():
    """TESTING-21"""
    each = life()
    each.optimizer = torch.optim.SGD(life().model.parameters(), lr=0.1)
    with pytest.raises(AssertionError, match="other parameters than the model"):
        each.check()


def test_testing_21_a_file_that_lost_something_is_seen(monkeypatch: pytest.MonkeyPatch):
    """TESTING-21"""

    def load(*arguments: Any, **options: Any) -> Any:
        model, optimizer = morphir.load(*arguments, **options)
        with torch.no_grad():
            model.head.bias.add_(1)
        return model, optimizer

    monkeypatch.setattr("morphir.testing.machine.load", load)
    with pytest.raises(AssertionError, match=r"'head.bias' differs after it was saved"):
        life().save_and_load()
