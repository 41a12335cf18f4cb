"""Heads: networks that several tasks share, each with inputs and outputs of its own.

A task's head is its columns of a network's first layer and its rows of the last one. All that lies
between, and the bias of the first layer, is the backbone, which the tasks share. Heads lie side by
side in the same two parameters, so what changes a backbone changes all of them along with it.

    CYCLE-2   for a task the layer is a Linear layer with its columns (axis 1) or its rows and their
              bias (axis 0), and no other number of it is read
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch.nn.functional as F
from torch import Tensor, nn
from typing_extensions import override

__all__ = ["HeadLayer", "Part", "heads_of", "parts_of", "used"]


@final
@dataclass(frozen=True)
class Part:
    """What a task has of the inputs and outputs of networks that it shares with others."""

    observation: slice
    """Of the actors' inputs."""
    action: slice
    """Of the actors' outputs."""
    inputs: slice
    """Of the critics' inputs, an observation and an action."""
    value: slice
    """Of the critics' outputs."""


def parts_of(sizes: Sequence[tuple[int, int]]) -> tuple[Part, ...]:
    """The parts of tasks with so many numbers per observation and per action, side by side."""
    columns = [(seen, act, seen + act, 1) for seen, act in sizes]
    ends = [[*itertools.accumulate(column, initial=0)] for column in zip(*columns, strict=True)]
    slices = [[slice(a, b) for a, b in itertools.pairwise(each)] for each in ends]
    return tuple(Part(*part) for part in zip(*slices, strict=True))


@final
class HeadLayer(nn.Linear):
    """The first or the last layer of a network for several tasks.

    Args:
        inputs: Inputs of all tasks that it knows.
        outputs: Outputs of all tasks that it knows.
        axis: Which axis of its weight belongs to tasks: 1, the inputs, or 0, the outputs.
    """

    def __init__(self, inputs: int, outputs: int, axis: int) -> None:
        super().__init__(inputs, outputs)
        self.axis = axis
        self.part: slice | None = None
        """That of the task that is being worked on; None: all."""

    @override
    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, *self.used(self.weight, self.bias))

    @property
    def own(self) -> tuple[str, ...]:
        """The parameters that tasks have parts of; the bias of a first layer is everyone's."""
        return ("weight",) if self.axis == 1 else ("weight", "bias")

    def part_of(self, tensor: Tensor) -> Tensor:
        """The task's part of a parameter that tasks have parts of, or of one like it; a view."""
        if self.part is None:
            return tensor
        return tensor[:, self.part] if self.axis == 1 else tensor[self.part]

    def used(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """What is read of its parameters, or of tensors of their shapes; views."""
        return self.part_of(weight), self.part_of(bias) if "bias" in self.own else bias


def used(layer: nn.Module, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """What a layer takes of its parameters, or of tensors of their shapes: all, or a part."""
    return layer.used(weight, bias) if isinstance(layer, HeadLayer) else (weight, bias)


def heads_of(network: nn.Module) -> Iterator[tuple[str, HeadLayer]]:
    """The layers of a network that tasks have parts of, with their names."""
    for name, layer in network.named_modules():
        if isinstance(layer, HeadLayer):
            yield name, layer
