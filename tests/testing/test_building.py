"""Modules are built from recipes and know them."""

import copy

import torch
from torch import nn

import morphir
from morphir.testing import Recipe, Step, build, example_inputs, recipe_of

RECIPE = Recipe((Step("linear", number=1), Step("relu")), value=True, dtype="float64")


def test_a_module_knows_its_recipe_also_when_it_was_copied_or_changed():
    net = build(RECIPE)
    assert recipe_of(net) is RECIPE
    assert recipe_of(copy.deepcopy(net)) is RECIPE
    given = {"example_inputs": example_inputs(RECIPE), "entry_points": RECIPE.entry_points}
    assert recipe_of(morphir.apply(net, morphir.DeeperPass(at="relu1"), **given)) is RECIPE
    assert recipe_of(nn.Linear(2, 2)) is None


def test_two_modules_of_one_recipe_are_apart_and_of_one_class():
    first, second = build(RECIPE), build(RECIPE)
    assert type(first) is type(second)
    assert first.head.weight is not second.head.weight


def test_inputs_have_rows_a_seed_and_the_dtype_of_the_module():
    inputs = example_inputs(RECIPE, rows=5, seed=1)
    assert [*inputs] == ["forward", "value"]
    (x,) = inputs["value"]
    assert (x.shape, x.dtype) == ((5, 4), torch.float64)
    assert not torch.equal(x, example_inputs(RECIPE, rows=5, seed=2)["value"][0])


def test_programs_name_lines_of_the_source():
    program = morphir.trace(build(RECIPE), example_inputs=example_inputs(RECIPE)["forward"])
    places = {node.source for node in program.graphs["forward"].nodes}
    assert all(place.startswith("recipe_") for place in places)
