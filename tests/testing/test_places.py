"""Where a pass may be asked to act."""

import pytest
import torch
from hypothesis import given, settings
from torch import nn

from morphir import CompactPass, DeeperPass, PruneDormantPass, RefusalError, WiderPass
from morphir.axes import AxisGroups
from morphir.testing import Recipe, Step, build, recipes, sites
from morphir.testing.places import known, program_of, site_names, width_at
from tests.specimens import Agent

STEPS = (Step("linear", number=1), Step("relu"), Step("pool"))


def test_names_of_modules_that_are_called_and_of_those_with_an_axis():
    program = program_of(build(Recipe(STEPS)))
    assert site_names(program, DeeperPass) == ("linear1", "relu1", "head")
    assert site_names(program, WiderPass) == ("linear1", "head")
    assert site_names(program, CompactPass) == ("",)
    assert site_names(program, PruneDormantPass) == ("",)
    assert site_names(program) == ("linear1", "relu1", "head")
    groups = AxisGroups(program)
    assert [width_at(groups, name) for name in ("linear1", "relu1", "head")] == [8, 0, 3]


@settings(max_examples=30)
@given(recipes())
def test_testing_4_every_site_exists(recipe: Recipe):
    """TESTING-4"""
    net = build(recipe)
    for kind in (DeeperPass, WiderPass):
        names = site_names(program_of(net), kind)
        assert "head" in names
        assert {*names} <= {name for name, _ in net.named_modules()}


def test_what_is_known_about_modules():
    x = torch.randn(2, 4)
    recipe = Recipe(value=True)
    inputs, entry_points = known(build(recipe))
    assert entry_points == ("forward", "value")
    assert [*inputs] == ["forward", "value"]
    assert [*known(build(recipe), None, ("value",))[0]] == ["value"]
    assert known(build(recipe), (x,), ("value",)) == ((x,), ("value",))
    assert known(Agent()) == (None, ("forward",))


def test_a_module_without_a_place_is_refused():
    with pytest.raises(RefusalError, match="Identity has no place at which a DeeperPass"):
        sites(nn.Identity(), DeeperPass, example_inputs=(torch.randn(2, 4),))
