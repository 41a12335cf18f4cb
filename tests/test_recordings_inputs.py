"""Inputs on which nothing can be computed are refused by name; unusual ones work."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade, MorphismPass, PruneDormantPass, RefusalError, WiderPass
from morphir.recordings import Traces
from tests.specimens import fingerprint

PASSES: list[MorphismPass] = [WiderPass(at="0", width=9), DeeperPass(at="1")]


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))


def refused(function: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(RefusalError) as error:
        function(*args, **options)
    return str(error.value)


@pytest.mark.parametrize("pass_", PASSES)
@pytest.mark.parametrize("inputs", [(torch.zeros(0, 4),), {"forward": (torch.zeros(0, 4),)}])
def test_a_batch_of_zero_is_refused(pass_: MorphismPass, inputs: Any):
    model = mlp()
    before = fingerprint(model)
    for function in (morphir.plan, morphir.transform):
        found = refused(function, model, pass_, example_inputs=inputs)
        assert "have a batch of 0" in found
        assert "of shape (0, 4)" in found
        assert "at least one row" in found
    assert fingerprint(model) == before


def test_an_empty_cache_beside_a_batch_is_none():
    class Caching(nn.Module):
        def forward(self, x: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
            return torch.cat([cache, x], 1).sum(1)

    inputs = (torch.randn(2, 3, 4), torch.zeros(2, 0, 4))
    assert Traces.of(Caching(), inputs, ("forward",)).eval.program.graphs


class Prior(nn.Module):
    """What it returns depends on its parameters only."""

    def __init__(self) -> None:
        super().__init__()
        self.start, self.layer = nn.Parameter(torch.randn(1, 4)), nn.Linear(4, 6)
        self.out = nn.Linear(6, 2)

    def forward(self) -> torch.Tensor:
        return self.out(self.layer(self.start).relu())


@pytest.mark.parametrize("pass_", [WiderPass(at="layer", width=9), DeeperPass(at="layer")])
def test_a_program_without_inputs_is_refused(pass_: MorphismPass):
    model = Prior()
    before = fingerprint(model)
    for function in (morphir.plan, morphir.transform):
        found = refused(function, model, pass_)
        assert found.startswith("'forward' takes no tensor")
        assert "entry_points= with a method that takes one" in found
    assert fingerprint(model) == before


class Bag(nn.Module):
    def __init__(self, mode: str) -> None:
        super().__init__()
        self.bag, self.out = nn.EmbeddingBag(10, 6, mode=mode), nn.Linear(6, 2)

    def forward(self, tokens: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
        return self.out(self.bag(tokens, offsets).relu())


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("init", ["copy", "fresh"])
@pytest.mark.parametrize(
    "inputs",
    [(torch.arange(10).view(5, 2),), (torch.arange(10), torch.tensor([0, 3, 7]))],
)
def test_the_width_of_an_embedding_bag_grows(mode: str, init: str, inputs: Any):
    torch.manual_seed(0)
    wider = WiderPass(at="bag", width=9, init=init)
    result = morphir.transform(Bag(mode), wider, example_inputs=inputs)
    assert result.report.grade is Grade.PROVED
    assert (result.module.bag.embedding_dim, result.module.bag.num_embeddings) == (9, 10)


def test_the_rows_of_an_embedding_bag_are_fixed():
    """They are looked up: no pass reaches them, and what is pruned are columns."""
    model = Bag("sum")
    with torch.no_grad():
        model.bag.weight[3] = 0
        model.out.weight[:, 2] = 0
    inputs = (torch.arange(10).view(5, 2),)
    result = morphir.transform(model, PruneDormantPass(), example_inputs=inputs)
    assert result.report.grade is Grade.PROVED
    assert result.module.bag.weight.shape == (10, 5)
