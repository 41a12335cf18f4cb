"""FUZZ-5: what an optimizer holds, and the state that it was given."""

import pytest
import torch

import morphir
from morphir import DeeperPass, InjectPlasticityPass, WiderPass
from morphir.result import TransformResult
from morphir.testing import Recipe, Step, build, example_inputs
from morphir.testing.fuzzing.carrying import holds, state_difference, states
from morphir.testing.fuzzing.optimizers import OPTIMIZERS, made

RECIPE = Recipe((Step("linear", number=1), Step("relu")), weights="random")


def widened(name: str, init: str = "copy") -> tuple[TransformResult, dict]:
    model = build(RECIPE)
    optimizer = made(name, model)
    for _ in range(3):
        optimizer.zero_grad()
        model(*example_inputs(RECIPE)["forward"]).square().mean().backward()
        optimizer.step()
    pass_ = WiderPass("linear1", width=11, init=init)  # type: ignore[arg-type]
    before = states(model, optimizer)
    return morphir.transform(model, pass_, optimizer=optimizer), before


@pytest.mark.parametrize("init", ["copy", "fresh"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fuzz_5_every_optimizer_is_carried_over(name: str, init: str):
    """FUZZ-5"""
    result, before = widened(name, init)
    assert not holds(result.module, result.optimizer)
    certificate = result.certificate
    assert not state_difference(before, result.module, result.optimizer, certificate)


@pytest.mark.parametrize("entry", ["exp_avg", "exp_avg_sq"])
@pytest.mark.parametrize("parameter", ["linear1.weight", "head.weight", "head.bias"])
def test_fuzz_5_a_moment_that_is_off_is_named(parameter: str, entry: str):
    """FUZZ-5: also that of a tensor whose axes did not change"""
    result, before = widened("adam")
    state = result.optimizer.state[result.module.get_parameter(parameter)]
    numbers = state[entry].view(-1)
    numbers[numbers.abs().where(numbers != 0, torch.inf).argmin()] *= 1.001
    found = state_difference(before, result.module, result.optimizer, result.certificate)
    assert found.startswith(f"{entry} of {parameter} is ")


def test_fuzz_5_a_moment_that_is_gone_or_of_another_shape_is_named():
    """FUZZ-5"""
    result, before = widened("adam")
    rest = result.module, result.optimizer, result.certificate
    state = result.optimizer.state[result.module.linear1.weight]
    state["exp_avg"] = state["exp_avg"][:5]
    assert "has the shape (5, 4), expected (11, 4)" in state_difference(before, *rest)
    del state["exp_avg"]
    assert state_difference(before, *rest) == "exp_avg of linear1.weight is gone"


def test_fuzz_5_every_parameter_is_held_once():
    """FUZZ-5"""
    model = build(RECIPE)
    assert not holds(model, made("adam", model))
    assert "linear1.weight is 0 times" in holds(model, torch.optim.SGD(model.head.parameters()))
    more = [*model.parameters(), torch.nn.Parameter(torch.ones(1))]
    assert holds(model, torch.optim.SGD(more)) == "it holds a parameter that the model has not"


def injected(name: str = "adam") -> tuple[TransformResult, dict]:
    model = build(RECIPE)
    optimizer = made(name, model)
    model(*example_inputs(RECIPE)["forward"]).square().mean().backward()
    optimizer.step()
    before = states(model, optimizer)
    pass_ = InjectPlasticityPass("linear1")
    return morphir.transform(model, pass_, optimizer=optimizer), before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_fuzz_5_what_stopped_to_learn_is_in_no_optimizer(name: str):
    """FUZZ-5: for all that comes after"""
    result, before = injected(name)
    module, optimizer = result.module, result.optimizer
    assert not holds(module, optimizer)
    assert not state_difference(before, module, optimizer, result.certificate)
    again = morphir.transform(module, DeeperPass("linear1", "residual"), optimizer=optimizer)
    assert not holds(again.module, again.optimizer)


@pytest.mark.parametrize(
    ("parameter", "times"),
    [("linear1.weight", 1), ("linear1.injected1.frozen.bias", 1), ("head.weight", 2),
     ("linear1.injected1.fresh.bias", 2)],
)  # fmt: skip
def test_fuzz_5_what_an_optimizer_holds_too_often_is_named(parameter: str, times: int):
    """FUZZ-5"""
    result, _ = injected()
    held = result.optimizer.param_groups[0]["params"]
    held.append(result.module.get_parameter(parameter))
    found = holds(result.module, result.optimizer)
    assert found == f"{parameter} is {times} times in the optimizer"


def test_fuzz_5_state_of_what_stopped_to_learn_is_named():
    """FUZZ-5"""
    result, before = injected()
    result.optimizer.state[result.module.linear1.bias] = {"step": torch.tensor(1.0)}
    found = state_difference(before, result.module, result.optimizer, result.certificate)
    assert found.startswith("linear1.bias has stopped to learn")
