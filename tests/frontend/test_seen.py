"""MASK-10: where Python may have seen numbers, other numbers may give another graph."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from morphir.frontend import trace
from morphir.frontend.seen import sees_numbers
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net

SEEN: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "a value": lambda s, x: x * 2 if s.gate.sum() > 1 else x,
    "a boolean index": lambda s, x: x[:, s.gate > 0.5],
    "an index of bytes": lambda s, x: x[:, s.bits],
    "nonzero": lambda s, x: x[:, s.gate.nonzero().squeeze(1)],
    "where of one argument": lambda s, x: x[:, torch.where(s.gate > 0.5)[0]],
    "masked_select": lambda s, x: x + s.gate.masked_select(s.gate > 0.5).sum(),
    "unique": lambda s, x: x[:, s.whole.unique()],
    "repeat_interleave": lambda s, x: x.repeat_interleave(s.whole, 1),
    "one_hot": lambda s, x: x.sum() + functional.one_hot(s.whole),
    "bincount": lambda s, x: x.sum() + torch.bincount(s.whole),
    "tensor_split": lambda s, x: x.tensor_split(s.whole[:1], 1)[1],
    "an op that is not declared": lambda s, x: x.sum() + torch.special.erfcx(s.gate),
}
UNSEEN: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "arithmetic": lambda s, x: torch.relu(x * s.gate),
    "an index of numbers": lambda s, x: x[:, s.whole],
    "where of three arguments": lambda s, x: torch.where(s.gate > 0.5, x, -x),
    "a slice": lambda s, x: x[:, 1:],
    "a size": lambda s, x: x / float(len(x)),
    "a tensor made on the way": lambda s, x: x + torch.tensor(2.0),
}


def net(forward: Callable[[Any, torch.Tensor], torch.Tensor]) -> Net:
    return Net(
        forward,
        gate=nn.Parameter(torch.tensor([1.0, 0.0, 1.0, 0.0])),
        whole=torch.tensor([1, 0, 2, 0]),
        bits=torch.tensor([1, 0, 1, 0], dtype=torch.uint8),
    )


@pytest.mark.filterwarnings("ignore:.*uint8")
@pytest.mark.parametrize("what", [*SEEN, *UNSEEN])
def test_mask_10_values_and_sizes_that_depend_on_numbers_are_seen(what: str):
    """MASK-10"""
    program = trace(net((SEEN | UNSEEN)[what]), example_inputs=(torch.rand(3, 4),))
    assert sees_numbers(program.graphs["forward"], DEFAULT_TABLE) is (what in SEEN)


class Masked(nn.Module):
    """A module that is traced without inputs."""

    def __init__(self, *, cuts: bool) -> None:
        super().__init__()
        self.gate, self.cuts = nn.Parameter(torch.ones(4)), cuts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[self.gate > 0.5] if self.cuts else x * self.gate


@pytest.mark.parametrize("cuts", [True, False])
def test_mask_10_an_index_of_which_no_type_is_known_may_be_a_mask(cuts: bool):
    """MASK-10: without inputs hardly anything has a type"""
    graph = trace(Masked(cuts=cuts)).graphs["forward"]
    assert sees_numbers(graph, DEFAULT_TABLE) is cuts
