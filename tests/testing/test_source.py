"""The source is the module."""

import ast
import subprocess
import sys

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from morphir.testing import Recipe, Step, build, example_inputs, recipes, to_source


@settings(max_examples=40)
@given(recipes())
def test_testing_2_the_source_builds_the_same_module_to_the_bit(recipe: Recipe):
    """TESTING-2"""
    state = torch.get_rng_state()
    namespace: dict = {}
    exec(to_source(recipe), namespace)
    other, net = namespace["make"](), build(recipe)
    assert torch.equal(torch.get_rng_state(), state)
    assert [*other.state_dict()] == [*net.state_dict()]
    for mine, theirs in zip(net.state_dict().values(), other.state_dict().values(), strict=True):
        assert mine.dtype == theirs.dtype
        assert torch.equal(mine, theirs)
    given_inputs = namespace["example_inputs"]()
    for name, (x,) in example_inputs(recipe).items():
        assert torch.equal(given_inputs[name][0], x)
        mine, theirs = (getattr(each.eval(), name)(x) for each in (net, other))
        assert torch.equal(mine, theirs)


@settings(max_examples=40)
@given(recipes(), st.data())
def test_testing_1_parts_of_a_recipe_are_recipes(recipe: Recipe, data: st.DataObject):
    """TESTING-1: whichever steps are left out"""
    kept = data.draw(st.lists(st.sampled_from(range(max(len(recipe.steps), 1))), unique=True))
    steps = tuple(recipe.steps[i] for i in sorted(kept) if i < len(recipe.steps))
    part = Recipe(steps, recipe.inputs, recipe.weights, recipe.dtype, recipe.value, recipe.seed)
    net, outputs = build(part), []
    for name, arguments in example_inputs(part).items():
        outputs.append(getattr(net, name)(*arguments).float().sum())
    sum(outputs).backward()
    assert any(parameter.grad is not None for parameter in net.parameters())


@settings(max_examples=40)
@given(recipes())
def test_every_variable_is_read(recipe: Recipe):
    tree = ast.parse(to_source(recipe))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    stored = {node.id for node in names if isinstance(node.ctx, ast.Store)}
    loaded = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    assert stored <= loaded


def test_it_needs_nothing_but_torch():
    steps = (Step("attention", number=1), Step("gelu", number=1), Step("residual"))
    program = to_source(Recipe(steps, "sequence", "sparse", "float64", value=True))
    program += "print(make().value(*example_inputs()['value']).shape)"
    command = [sys.executable, "-I", "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert found.stdout == "torch.Size([3, 1])\n"
