"""A module is taken out of a program as if it had never been there."""

import torch
from torch import nn

import morphir
from morphir import DeeperPass
from morphir.ir import Program, check_structure, is_inside, names_of, state_within
from morphir.ir.removal import removed
from tests.passes.nets import Shared, chain

X = torch.randn(3, 8)


def recorded(model: nn.Module) -> Program:
    return morphir.trace(model, example_inputs=(X,))


def test_removing_what_was_inserted_gives_the_old_program():
    """SHALLOWER-3"""
    for model, at, name in (
        (chain(nn.ReLU()), "1", "1_deeper1"),
        (Shared(), "relu", "relu.relu_deeper1"),
    ):
        before = recorded(model)
        deep = recorded(morphir.apply(model, DeeperPass(at=at), example_inputs=(X,)))
        assert deep != before
        back = removed(deep, name)
        check_structure(back)
        assert back == before
        assert back.modules == before.modules
        assert back.sequentials == before.sequentials


def test_what_belongs_to_a_module_goes_by_its_names():
    branch = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    model = nn.Sequential(branch, nn.Linear(8, 8), branch)
    deep = recorded(morphir.apply(model, DeeperPass(at="0.1"), example_inputs=(X,)))
    assert names_of(deep, "0.1_deeper1") == ("0.1_deeper1", "2.1_deeper1")
    assert {*state_within(deep, "0.1_deeper1")} == {
        "0.1_deeper1.layer.weight",
        "0.1_deeper1.layer.bias",
    }
    back = removed(deep, "0.1_deeper1")
    assert back == recorded(model)
    assert back.shared == recorded(model).shared


def test_names_are_compared_part_by_part():
    assert is_inside("a.b", ["a"])
    assert is_inside("a", ["c", "a"])
    assert not is_inside("ab", ["a"])
    assert not is_inside("a", ["a.b"])
