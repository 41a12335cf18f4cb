"""Sparse models in which bugs of masks and numbers are planted, and what changes them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn

import morphir
from morphir import (
    MaskGrowPass,
    PruneDormantPass,
    RecycleDormantPass,
    Report,
    ResetPass,
    SparsifyPass,
    WiderPass,
)
from morphir.testing.preserving import used_optimizer
from tests.passes.masked import masked
from tests.zoo.planted import EVERY_CHECKER


def dense() -> nn.Module:
    """Three layers, of which the last two have weights of one shape; unit 1 is silent."""
    model: Any = nn.Sequential(
        nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.1, 0.5)
        model[0].weight[1], model[0].bias[1] = 0, -1
    return model


def sparse() -> nn.Module:
    """The same with masks, of which the weights of unit 1 are no part."""
    model: Any = masked(dense(), 0.5)
    model[2].weight_mask[:, 1] = 1
    with torch.no_grad():
        model[2].weight[:, 1] = 0.25
    return model


class Pair(nn.Module):
    """A network and its target."""

    def __init__(self) -> None:
        super().__init__()
        self.online = sparse()
        self.target = copy.deepcopy(self.online)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.online(x), self.target(x)


class Counting(nn.Module):
    """Adds how many weights are in use, where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.options = masked(nn.Linear(4, 6)), {"counts": False}

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.layer(x)
        mask = self.layer.weight_mask
        assert isinstance(mask, Tensor)
        return found + mask.sum() if self.options["counts"] else found


MODELS: Final[dict[str, Callable[[], nn.Module]]] = {
    "dense": dense,
    "sparse": sparse,
    "pair": Pair,
}
# Model and change to the pass, given the input of the model.
PASSES: Final[dict[tuple[str, str], Callable[[Tensor], Any]]] = {
    ("sparse", "grow"): lambda x: MaskGrowPass(count={"2.weight": 3}, score="random"),
    ("pair", "grow"): lambda x: MaskGrowPass("online", count=3, score="random"),
    ("dense", "sparsify"): lambda x: SparsifyPass(0.5),
    ("sparse", "sparsify"): lambda x: SparsifyPass(count={"2.weight": 9}),
    ("sparse", "recycle"): lambda x: RecycleDormantPass((x,), threshold=0.0),
    ("sparse", "prune"): lambda x: PruneDormantPass(
        data=(x,), mode="mask", weights={"2.weight": 2}
    ),
    ("sparse", "reset"): lambda x: ResetPass("2"),
    ("sparse", "wider"): lambda x: WiderPass("0", width=9),
}


def _changed(model: str, change: str) -> Report:
    net, x = MODELS[model](), torch.rand(6, 4) + 0.1
    return morphir.transform(
        net, PASSES[model, change](x), optimizer=used_optimizer(net, 0), example_inputs=(x,),
        checks=EVERY_CHECKER,
    ).report  # fmt: skip


def _changed_again() -> Report:
    """A second event; after the first one somebody changed what Python reads."""
    model, x = Counting(), torch.rand(6, 4)
    grow = MaskGrowPass(count=2, score="random")
    first = morphir.transform(model, grow, example_inputs=(x,), inplace=True)
    model.options["counts"] = True
    return morphir.transform(
        model, grow, example_inputs=(x,), recording=first.recording, checks=EVERY_CHECKER
    ).report


def report_of(model: str, change: str) -> Report:
    """What is said about a change."""
    return _changed_again() if model == "counting" else _changed(model, change)


REFUSED: Final = ("counting", "grow again")
CHANGES: Final = (*PASSES, REFUSED)
# What is meant to change the function has no proof.
UNPROVED: Final = tuple(
    (model, change)
    for model, change in PASSES
    if change in ("sparsify", "recycle", "prune", "reset")
)
