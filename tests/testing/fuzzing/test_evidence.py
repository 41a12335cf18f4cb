"""FUZZ-2 and FUZZ-4: two models are run and compared."""

from dataclasses import replace

import pytest
import torch

import morphir
from morphir import ExtendInputPass, ExtendOutputPass, Grade, WiderPass
from morphir.testing import Recipe, Step, build, example_inputs
from morphir.testing.fuzzing.evidence import gradient_difference, output_difference

RECIPE = Recipe(
    (Step("linear", number=1), Step("tanh"), Step("linear", number=2), Step("batch_norm")),
    weights="random",
)


def feed(seed: int):
    given = example_inputs(RECIPE, rows=4, seed=seed)
    return given, given


def widened(recipe: Recipe = RECIPE):
    model = build(recipe)
    return model, morphir.transform(model, WiderPass("linear1", width=11))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_fuzz_2_what_is_proved_agrees(dtype: str):
    """FUZZ-2"""
    model, result = widened(Recipe(RECIPE.steps, weights="random", dtype=dtype))  # type: ignore[arg-type]
    assert not output_difference(model, result.module, feed, Grade.PROVED)
    tensors = result.certificate.tensors
    assert not gradient_difference(model, result.module, feed, tensors)


@pytest.mark.parametrize("name", ["linear1.bias", "linear1.weight", "linear2.weight"])
def test_fuzz_2_a_number_that_is_off_is_seen(name: str):
    """FUZZ-2: by a hundred units in the last place"""
    model, result = widened()
    with torch.no_grad():
        result.module.get_parameter(name).view(-1)[0] *= 1 + 1e-5
    found = output_difference(model, result.module, feed, Grade.PROVED)
    assert "forward differs by" in found
    assert "in eval mode on inputs of size 1, where rounding explains" in found
    assert not output_difference(model, result.module, feed, Grade.TESTED), "that may be rounding"


def test_fuzz_2_what_is_out_of_bounds_says_nothing():
    """FUZZ-2: float32 ends where float64 does not, and rounding is not known there"""
    recipe = replace(RECIPE, steps=RECIPE.steps[:3])
    model, result = widened(recipe)
    with torch.no_grad():
        for each in (model, result.module):
            each.head.weight.mul_(3e37)
    assert not output_difference(model, result.module, feed, Grade.PROVED)
    with torch.no_grad():
        result.module.head.bias[0] = torch.nan
    for each in (model, result.module):
        each.double()
    assert "differs by nan" in output_difference(model, result.module, feed, Grade.PROVED)


def test_fuzz_2_train_mode_is_looked_at():
    """FUZZ-2"""
    model, result = widened()
    with torch.no_grad():  # what the running statistics make good again in eval mode
        result.module.linear2.bias.add_(1.0)
        result.module.norm1.running_mean.add_(1.0)
    assert not output_difference(model, result.module, feed, Grade.PROVED), "norms forget it"
    result.module.norm1.eps = 1.0
    assert "in eval mode" in output_difference(model, result.module, feed, Grade.PROVED)
    result.module.norm1.eps = model.norm1.eps
    result.module.norm1.register_forward_hook(lambda m, x, y: 2 * y if m.training else y)
    assert "in train mode" in output_difference(model, result.module, feed, Grade.PROVED)


def test_fuzz_2_longer_outputs_are_compared_where_they_were():
    """FUZZ-2"""
    model = build(RECIPE)
    result = morphir.transform(model, ExtendOutputPass("head", 5))
    assert not output_difference(model, result.module, feed, Grade.PROVED)
    assert not gradient_difference(model, result.module, feed, result.certificate.tensors)


def test_fuzz_2_longer_inputs_are_given_something():
    """FUZZ-2"""
    model = build(RECIPE)
    result = morphir.transform(model, ExtendInputPass("x", 6))

    def longer(seed: int):
        ((x,),) = example_inputs(RECIPE, rows=4, seed=seed).values()
        return {"forward": (x,)}, {"forward": (torch.cat([x, torch.randn(4, 2)], 1),)}

    assert not output_difference(model, result.module, longer, Grade.PROVED)
    with torch.no_grad():
        result.module.linear1.weight[0, 5] = 1e-3
    assert "differs" in output_difference(model, result.module, longer, Grade.PROVED)


def test_fuzz_4_a_gradient_that_is_off_is_seen():
    """FUZZ-4"""
    model, result = widened()

    def doubled(module, grad_input, grad_output):
        return tuple(None if each is None else 2 * each for each in grad_input)

    result.module.tanh1.register_full_backward_hook(doubled)
    assert not output_difference(model, result.module, feed, Grade.PROVED)
    found = gradient_difference(model, result.module, feed, result.certificate.tensors)
    assert "the gradient of linear1.weight is off by" in found
