"""What `PruneDormantPass` refuses, and what it says then; nothing is changed."""

import copy
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import morphir
from morphir import PruneDormantPass, RefusalError
from tests.passes.compactions import assert_same_state, zero
from tests.passes.test_wider import X
from tests.passes.widenings import mlp


def refused_to(model: nn.Module, **options: Any) -> None:
    morphir.apply(model, PruneDormantPass(**options), example_inputs=(X,))


def test_only_modules_whose_units_may_go_are_suggested_for_a_name_that_is_none():
    layers = {"layer1": nn.Linear(4, 8), "layer2": nn.ReLU(), "layer3": nn.Linear(8, 5)}
    net = nn.Sequential(OrderedDict(layers))
    with pytest.raises(RefusalError, match="layer9") as refused:
        refused_to(net, at="layer9")
    assert refused.value.suggestions == ("at='layer1'",)


def test_more_named_units_than_may_go_are_refused():
    model = mlp(hidden=4)
    zero(model[2].weight, slice(None), slice(None))
    with pytest.raises(RefusalError, match=r"4 of 4 units .* are named, of which 3 may go"):
        refused_to(model, at="0", units=range(4))
    with pytest.raises(RefusalError, match=r"of which 2 may go") as refused:
        refused_to(model, at="0", units=[3, 1, 0], max_fraction=0.5)
    assert refused.value.suggestions == ("units=[0, 1]",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at": 3}, r"at=3, expected a qualified module name, a glob, a list of them, or None"),
        ({"at": []}, r"at=\(\), expected a qualified module name"),
        ({"units": [1]}, r"units=\(1,\), expected unit numbers, with at= the name of one module"),
        ({"at": "0", "units": [-1]}, r"units=\(-1,\), expected unit numbers"),
        ({"at": "0", "units": []}, r"units=\(\), expected unit numbers"),
        ({"at": "0", "units": 1}, r"units=1, expected unit numbers"),
        ({"at": "0", "units": torch.tensor([1])}, r"units=..., expected unit numbers"),
        ({"at": "0", "units": np.array([1, 2])}, r"units=array\(\[1, 2\]\), expected unit numbers"),
        ({"threshold": -1.0}, r"threshold=-1.0, expected a number that is not negative"),
        ({"threshold": 0.1}, r"data=None, expected inputs, where threshold= is given or mode="),
        (
            {"mode": "mask", "data": X, "weights": {"a": -1}},
            r"weights={'a': -1}, expected a number",
        ),
        ({"data": X, "weights": {"a": 1}}, r"weights={'a': 1}, expected a number for each weight"),
        ({"mode": "reseed"}, r"data=None, expected inputs"),
        ({"mode": "drop"}, r"mode='drop', expected 'remove', 'reseed' or 'mask'"),
        ({"mode": "reseed", "data": X, "fold": True}, r"fold=True, expected True or False, and"),
        ({"fold": 1}, r"fold=1, expected True or False"),
        ({"max_fraction": 0}, r"max_fraction=0, expected a number above 0, at most 1"),
        ({"min_width": 0}, r"min_width=0, expected a positive integer"),
        ({"seed": "x"}, r"seed='x', expected an integer"),
        ({"box": 5}, r"box=5, expected \(low, high\)"),
        ({"box": (1.0, -1.0)}, r"box=\(1.0, -1.0\), expected \(low, high\)"),
        ({"box": (torch.zeros(3), torch.ones(3))}, r"box=\.\.\., expected \(low, high\)"),
    ],
)
def test_options_that_no_model_fits(options: Any, message: str):
    with pytest.raises(RefusalError, match=message):
        PruneDormantPass(**options)


class Opaque(nn.Module):
    """The hidden axis reaches numpy."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).relu()
        return self.b(h) + float(h.detach().numpy().sum())


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (mlp, {"at": "0", "units": [6]}, r"'0' has 6 units, numbered from 0: unit 6 is not among"),
        (mlp, {"at": "0", "units": [1]}, r"unit 1 is not known to do nothing"),
        (
            mlp, {"at": "0", "units": [1], "data": (X,)},
            r"unit 1 is not known to do nothing: its score is \d",
        ),
        (mlp, {"at": "4", "units": [1]}, r"the axis cannot change: .*output(.|\n)*at: 4"),
        (mlp, {"at": ["0", "4"]}, r"the axis cannot change: .*output(.|\n)*at: 4"),
        (mlp, {"at": "7"}, r"'7'"),
        (mlp, {"box": {"y": (0, 1)}}, r"box= names 'y', and the inputs are \['input'\]"),
        (mlp, {"data": (X, X)}, r"data= has 2 tensors for 'forward', which takes input"),
        (mlp, {"data": (X[:, :3],)}, r"'forward' can't be run on data="),
        (Opaque, {"at": "a", "units": [1]}, r"the axis cannot change: (.|\n)*at: a"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(make: Any, options: Any, message: str):
    model = make()
    before = copy.deepcopy(model)
    with pytest.raises(RefusalError, match=message):
        morphir.apply(model, PruneDormantPass(**options), example_inputs=(X,), inplace=True)
    assert_same_state(before, model)
