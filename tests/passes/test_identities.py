"""SHALLOWER-1, SHALLOWER-2: what a module returns, and why it is not what it was given."""

import re
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.frontend import record
from morphir.passes.identities import law_of_removal, why_it_stays
from morphir.passes.surroundings import Surroundings
from tests.checks.pairs import Net, dirac, identity, zeros


def said(layer: nn.Module, *before: nn.Module, after: Any = None, shape: tuple = (2, 8)) -> str:
    """The law by which a layer may go, or else why it stays."""
    layers = [*before, layer, *([after] if after is not None else [])]
    program = record(nn.Sequential(*layers), example_inputs=(torch.randn(shape),)).program
    graph = program.graphs["forward"]
    (call,) = graph.calls_of(str(len(before)))
    around = Surroundings(program)
    return law_of_removal(around, graph, call) or why_it_stays(around, graph, call)


def block(function: Any, **members: Any) -> nn.Module:
    return Net(function, **members)


@pytest.mark.parametrize(
    "layer",
    [
        identity(8),
        block(lambda m, x: m.a(x) + m.b(torch.tanh(x)), a=identity(8), b=zeros(8, 8)),
        block(lambda m, x: m.b(torch.tanh(x)) + x, b=zeros(8, 8)),
        block(lambda m, x: x - m.b(x), b=zeros(8, 8)),
        block(lambda m, x: x * m.p, p=nn.Parameter(torch.ones(8))),
        block(lambda m, x: x + m.p * torch.tanh(x), p=nn.Parameter(torch.zeros(8))),
        block(lambda m, x: x + m.p * (x - x), p=nn.Parameter(torch.randn(8))),
    ],
)
def test_shallower_1_identities(layer: nn.Module):
    assert said(layer) == "SHALLOWER-1"


@pytest.mark.parametrize(
    ("kind", "shape", "options"),
    [
        (nn.Conv1d, (2, 8, 9), {"kernel_size": 3, "padding": 1}),
        (nn.Conv2d, (2, 8, 5, 5), {"kernel_size": (3, 1), "padding": (1, 0)}),
        (nn.Conv2d, (2, 8, 5, 5), {"kernel_size": 5, "padding": 4, "dilation": 2}),
        (nn.Conv2d, (2, 8, 5, 5), {"kernel_size": 3, "padding": "same", "groups": 4}),
        (nn.Conv3d, (2, 8, 3, 3, 3), {"kernel_size": 1}),
    ],
)
def test_shallower_1_convolutions(kind: type[nn.Module], shape: tuple, options: dict[str, Any]):
    layer = dirac(kind, 8, options.pop("kernel_size"), **options)
    assert said(layer, shape=shape) == "SHALLOWER-1"


def test_shallower_1_an_even_kernel_after_a_pad():
    layer = nn.Sequential(nn.ConstantPad1d((0, 1), 0.0), dirac(nn.Conv1d, 8, 2))
    assert said(layer, shape=(2, 8, 9)) == "SHALLOWER-1"
    layer = nn.Sequential(nn.ConstantPad1d((1, 0), 0.0), dirac(nn.Conv1d, 8, 2))
    assert "away from the identity" in said(layer, shape=(2, 8, 9))


@pytest.mark.parametrize(
    ("options", "shape", "reason"),
    [
        ({"stride": 2, "padding": 1}, (2, 8, 5, 5), "is given"),
        ({"padding": 0}, (2, 8, 5, 5), "is given"),
        ({"padding": 1, "stride": 1, "dilation": 1}, (2, 8, 5, 5), "up to 1 away"),
    ],
)
def test_convolutions_that_move_what_they_read(options: Any, shape: tuple, reason: str):
    layer = dirac(nn.Conv2d, 8, 3, **options)
    if reason.startswith("up"):
        with torch.no_grad():
            layer.weight.copy_(layer.weight.roll(1, 3))
    assert reason in said(layer, shape=shape)


def test_shallower_2_needs_the_same_idempotent_activation_alone():
    relu = nn.Sequential(nn.ReLU(), identity(8))
    assert said(relu, after=nn.ReLU()) == "SHALLOWER-2"
    assert said(relu, nn.Softplus(), after=nn.ReLU()) == "SHALLOWER-1"
    assert "relu is the identity on [0, inf] only" in said(relu, after=nn.ReLU6())
    leaky = nn.Sequential(nn.LeakyReLU(), identity(8))
    assert "leaky_relu" in said(leaky, after=nn.LeakyReLU())
    twice = block(lambda m, x: F.relu(x) + x)
    assert "relu" in said(relu, after=twice)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Linear(8, 8), "0.weight is up to .* away from the identity"),
        (block(lambda m, x: x + m.b(x), b=nn.Linear(8, 8)), "0.b.weight is up to .* from 0"),
        (block(lambda m, x: m.b(x) + x, b=nn.Linear(8, 8)), "0.b.weight is up to .* from 0"),
        (block(lambda m, x: x * m.p, p=nn.Parameter(torch.zeros(8))), "what mul returns"),
        (
            block(lambda m, x: m.p - x, p=nn.Parameter(torch.zeros(8))),
            "a sum that is not its operand",
        ),
        (block(lambda m, x: x + x), "a sum that is not its operand"),
        (block(lambda m, x: m.a(torch.tanh(x)), a=identity(8)), "what tanh returns"),
        (block(lambda m, x: m.a(torch.tanh(x)), a=zeros(8, 8)), "from the identity"),
        (block(lambda m, x: x.double().float()), "returns"),
        (block(lambda m, x: x.flip(0)), "what flip returns"),
    ],
)
def test_why_another_layer_stays(layer: nn.Module, reason: str):
    assert re.search(reason, said(layer)), said(layer)


def test_numbers_of_others_are_not_read():
    """A weight that another layer has too does not go, so nothing rests on it."""
    shared = identity(8)
    layer = block(lambda m, x: F.linear(x, m.weight))
    layer.weight = shared.weight
    assert "no layer" in said(layer, shared)
