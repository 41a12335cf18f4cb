"""Nets with a place to widen, and the shortest way to widen them and look."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import Grade, TransformResult, WiderPass
from morphir.backend.scaling import scaled
from morphir.ir import TensorChange
from morphir.tensors import tensors_in


class Images(nn.Module):
    """A residual convolutional net with BatchNorm, in the order of ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 5, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(5)
        self.one = nn.Conv2d(5, 4, 3, padding=1)
        self.inner = nn.BatchNorm2d(4)
        self.two = nn.Conv2d(4, 5, 3, padding=1)
        self.head = nn.Linear(5 * 9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.two(F.relu(self.inner(self.one(x))))
        return self.head(F.max_pool2d(x, 2).flatten(1))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)
        self.b.weight = self.a.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.a(x)) * torch.sigmoid(self.b(x.flip(-1))))


class Sequence(nn.Module):
    """A recurrent layer between two linear ones."""

    def __init__(self, kind: type[nn.RNNBase], **options: Any) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 5)
        self.rnn = kind(5, 6, batch_first=True, **options)
        self.head = nn.Linear(12 if options.get("bidirectional") else 6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(torch.tanh(self.stem(x)))[0])


class Encoder(nn.Module):
    """An encoder layer between two linear ones."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 6, batch_first=True, **options)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.layer(self.stem(x)))


class Agent(nn.Module):
    """One trunk, two entry points, no forward."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
        self.actor, self.critic = nn.Linear(6, 3), nn.Linear(6, 1)

    def act(self, x: torch.Tensor) -> torch.Tensor:
        return self.actor(self.trunk(x))

    def value(self, x: torch.Tensor) -> torch.Tensor:
        return self.critic(self.trunk(x))


def mlp(activation: type[nn.Module] = nn.ReLU, hidden: int = 6) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, hidden), activation(), nn.Linear(hidden, 5), activation(), nn.Linear(5, 3)
    )


def wide(
    model: nn.Module, at: Any, *inputs: torch.Tensor, optimizer: Any = None, **options: Any
) -> TransformResult:
    """Widens; what comes out is proved, and computes the same in both modes."""
    result = morphir.transform(
        model, WiderPass(at=at, **options), example_inputs=inputs, optimizer=optimizer
    )
    assert result.report.grade is Grade.PROVED, result.report
    for training in (False, True):
        assert_same(model, result.module, *inputs, training=training)
    return result


def assert_same(
    before: nn.Module, after: nn.Module, *inputs: torch.Tensor, training: bool = False
) -> None:
    """The two return the same in float64, to rounding, in one mode, and where nothing is drawn."""
    found = []
    for model in (before, after):
        double = without_dropout(model).double().train(training)
        given = (x.double() if x.is_floating_point() else x for x in inputs)
        with torch.no_grad():
            found.append([tensor for _, tensor in tensors_in(double(*given))])
    for old, new in zip(*found, strict=True):
        assert old.shape == new.shape
        assert (old - new).abs().max() <= 1e-12 * old.abs().max()


def without_dropout(model: nn.Module) -> nn.Module:
    """A copy of a model that draws nothing."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    return copied


def gradients(
    model: nn.Module, *inputs: torch.Tensor, call: str = "forward"
) -> dict[str, torch.Tensor]:
    """The gradient of every parameter for a loss that weighs all outputs otherwise."""
    model.zero_grad()
    result = getattr(model, call)(*inputs)
    weight = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).reshape(result.shape)
    (result.square() * weight + result * weight.flip(0)).sum().backward()
    named = model.named_parameters()
    return {name: p.grad.clone() for name, p in named if p.grad is not None}


def assert_dual(
    old: Mapping[str, torch.Tensor],
    new: Mapping[str, torch.Tensor],
    changes: Mapping[str, TensorChange],
) -> None:
    """Gradients are the transported ones, wherever something was there before."""
    assert old.keys() == new.keys()
    for name, gradient in old.items():
        wanted = scaled(gradient, changes[name], "gradient") if name in changes else gradient
        found = new[name].clone()
        for axis, each in enumerate(changes.get(name, ())):
            fresh = torch.from_numpy(each.relation.source < 0)
            found.index_fill_(axis, fresh.nonzero().flatten(), 0)
            wanted = wanted.index_fill(axis, fresh.nonzero().flatten(), 0)
        largest = max(each.abs().max() for each in old.values())
        assert (found - wanted).abs().max() <= 1e-12 * largest, name


def copies(change: TensorChange) -> Iterator[tuple[int, int, int]]:
    """Axis and positions of two copies of one unit, for every axis that is copied."""
    for axis, each in enumerate(change):
        relation = each.relation
        if relation.is_copied and not relation.is_identity:
            take = [*relation.take]
            for later, part in enumerate(take):
                if part >= 0 and part in take[:later]:
                    yield axis, take.index(part), later
