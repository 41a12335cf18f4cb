"""The strategies: all kinds of op occur, all draws are valid, and failures are small."""

from collections import Counter
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, find, given, seed, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import DeeperPass
from morphir.testing import (
    Recipe,
    build,
    example_inputs,
    graphs,
    inputs_for,
    modules,
    recipe_of,
    recipes,
    sites,
    to_source,
)
from morphir.testing.recipe import EVERY_OP
from tests.specimens import Agent

FIXED = {"derandomize": True, "database": None, "deadline": None}
MENTIONED = (
    " + ", "torch.cat", ".chunk(", ".weight = ", "requires_grad_(False)", "inplace=True",
    "nn.Conv1d", "groups=", "BatchNorm", "LayerNorm", "GroupNorm", "nn.MultiheadAttention",
    " Attention(", "nn.LSTM(", "nn.GRU(", "Cell(", "Pool2d", "nn.Embedding",
    "self.embedding1.weight", "nn.Dropout", "nn.Sequential", "def value", "torch.bfloat16",
    "torch.float64",
)  # fmt: skip


def test_testing_3_all_kinds_of_op_occur_and_every_draw_is_recorded():
    """TESTING-3"""
    seen: Counter[str] = Counter()

    @settings(max_examples=30, database=None, suppress_health_check=[*HealthCheck])
    @given(recipes())
    def draw(recipe: Recipe) -> None:
        inputs, net = example_inputs(recipe), build(recipe)
        program = morphir.trace(net, example_inputs=inputs, entry_points=recipe.entry_points)
        assert (*program.graphs,) == recipe.entry_points
        source = to_source(recipe)
        seen.update({step.op for step in recipe.steps})
        seen.update(text for text in MENTIONED if text in source)
        seen["shared layers"] += any(source.count(f"= self.{name}(") > 1 for name in net._modules)
        seen["draws"] += 1

    for number in range(10):  # the examples of one run resemble each other
        seed(number)(draw)()
    assert seen["draws"] == 300
    assert {*EVERY_OP, *MENTIONED, "shared layers"} <= {
        name for name, count in seen.items() if count
    }


SMALL: Mapping[str, Callable[[str], bool]] = {
    "attention and a residual": lambda source: "ttention(" in source and " + " in source,
    "a shared layer and a residual": (
        lambda source: source.count("= self.linear1(") > 1 and " + " in source
    ),
}


@pytest.mark.parametrize("case", SMALL)
def test_what_was_found_shrinks_to_a_few_steps(case: str):
    found = find(
        recipes(),
        lambda recipe: SMALL[case](to_source(recipe)),
        settings=settings(max_examples=1000, suppress_health_check=[*HealthCheck], **FIXED),
        random=Random(0),
    )
    assert len(found.steps) <= 3
    assert (found.weights, found.dtype, found.seed) == ("integers", "float32", 0)


@settings(max_examples=30)
@given(modules(inputs=("image",), dtypes=("float64",), min_steps=1, max_steps=2))
def test_options_say_what_is_drawn(module: nn.Module):
    recipe = recipe_of(module)
    assert recipe is not None
    assert (recipe.inputs, recipe.dtype) == ("image", "float64")
    assert 1 <= len(recipe.steps) <= 2


@settings(max_examples=20)
@given(graphs(max_steps=3))
def test_graphs_are_programs_that_print_and_parse(program: morphir.Program):
    assert morphir.Program.parse(str(program)).hash == program.hash


@settings(max_examples=30)
@given(st.data())
def test_testing_4_inputs_and_sites_fit_the_module(data: st.DataObject):
    """TESTING-4"""
    module = data.draw(modules())
    name = data.draw(sites(module, DeeperPass))
    assert isinstance(module.get_submodule(name), nn.Module)
    inputs = data.draw(inputs_for(module))
    for entry_point, arguments in inputs.items():
        assert getattr(module, entry_point)(*arguments).dim() == 2


@settings(max_examples=10)
@given(st.data())
def test_inputs_for_a_module_of_the_user(data: st.DataObject):
    agent: Any = Agent()
    drawn = data.draw(
        inputs_for(
            agent, example_inputs=(torch.randn(2, 4),), entry_points=("get_value", "get_logits")
        )
    )
    (x,), options = drawn["get_value"]
    assert (x.shape, options) == ((2, 4), {})
    index = data.draw(inputs_for(nn.Embedding(7, 2), example_inputs=(torch.tensor([[1, 5]]),)))
    (tokens,), _ = index["forward"]
    assert 1 <= int(tokens.min()) <= int(tokens.max()) <= 5
