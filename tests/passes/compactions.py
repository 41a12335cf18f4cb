"""Nets with units that do nothing, and the shortest way to remove them and look."""

from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import CompactPass, Grade
from tests.passes.widenings import assert_same


def compacted(model: nn.Module, *inputs: torch.Tensor, **options: Any) -> morphir.TransformResult:
    """Compacts; what comes out is proved, and computes the same in both modes."""
    result = morphir.transform(model, CompactPass(**options), example_inputs=inputs)
    assert result.report.grade is Grade.PROVED, result.report
    for training in (False, True):
        assert_same(model, result.module, *inputs, training=training)
    return result


def assert_same_state(one: nn.Module, other: nn.Module) -> None:
    """All numbers of two models are the same, and have the same shapes."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def zero(tensor: torch.Tensor, *index: Any) -> None:
    with torch.no_grad():
        tensor[index] = 0


# A unit, by the numbers of its layer and its own, and whether nothing feeds it (else: reads it).
place = st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans())


def silence(model: nn.Module, places: list[tuple[int, int, bool]]) -> None:
    """Zeroes rows and columns of linear layers, and leaves some units at a negative constant."""
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for number, unit, is_row in places:
        layer = layers[number % len(layers)]
        if is_row:
            row = unit % layer.out_features
            zero(layer.weight, row)
            with torch.no_grad():
                layer.bias[row] = -float(number % 2)
        else:
            zero(layer.weight, slice(None), unit % layer.in_features)


class Dropping(nn.Module):
    """Dropout between a unit that is 0 and what reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.drop(F.gelu(self.a(x)))
        return self.b(h) * torch.sigmoid(self.c(h))
