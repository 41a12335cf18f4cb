"""Small models to plant bugs in, each with what is easy to get wrong: parts, readers, zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Made = tuple[nn.Module, Tensor]


class Fork(nn.Module):
    """Two readers of one layer, some units of which do nothing, or are constants.

    Unit 1 is read by nobody, unit 2 by the second reader only, unit 3 is positive only where inputs
    are beyond 1, unit 4 is the constant 1/2, unit 5 is 0, and unit 0 is read with weights of 1e-20.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(4, 8), nn.Linear(8, 3), nn.Linear(8, 2)
        with torch.no_grad():
            for layer in (self.fc, self.left, self.right):
                layer.weight.copy_((layer.weight * 64).round() / 64 + 1 / 128)
                layer.bias.copy_((layer.bias * 64).round() / 64)
            self.left.weight[:, [1, 2]] = 0
            self.right.weight[:, 1] = 0
            self.fc.weight[3] = torch.tensor([0.5, -0.5, 0.5, -0.5])
            self.fc.bias[3] = -2 - 1 / 64
            self.fc.weight[4], self.fc.bias[4] = 0, 0.5
            self.fc.weight[5], self.fc.bias[5] = 0, -1
            self.left.weight[:, 0] = self.right.weight[:, 0] = 1e-20

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.fc(x))
        return torch.cat([self.left(h), self.right(h)], 1)


class Twins(nn.Module):
    """Two readers of one layer; unit 3 is unit 1 again, and unit 2 has the weights of unit 0."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.left, self.right = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 2)
        with torch.no_grad():
            for layer in (self.left, self.right):  # so that sums of copies need no rounding
                layer.weight.copy_((layer.weight * 64).round() / 64 + 1 / 128)
            self.fc.weight[3], self.fc.bias[3] = self.fc.weight[1], self.fc.bias[1]
            self.fc.weight[2] = self.fc.weight[0]

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.fc(x))
        return torch.cat([self.left(h), self.right(h)], 1)


class Residual(nn.Module):
    """A stream with a normalised branch."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(4, 6), nn.LayerNorm(6)
        self.up, self.down, self.head = nn.Linear(6, 8), nn.Linear(8, 6), nn.Linear(6, 2)
        nn.init.normal_(self.norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head(x + self.down(torch.tanh(self.up(self.norm(x)))))


class Stream(nn.Module):
    """A stream without a norm, one layer of which is called twice, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.again = self.inner

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + torch.tanh(self.inner(x))
        return self.head(x + torch.tanh(self.again(x)))


class Tied(nn.Module):
    """Two readers of one layer with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.first, self.second = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(6, 2)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x)
        return self.first(torch.tanh(h)) * self.second(torch.relu(h))


class Gated(nn.Module):
    """The halves of a GLU, without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(4, 12, bias=False), nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.glu(self.up(x), -1))


class Joined(nn.Module):
    """Two layers of different widths side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.cat([self.a(x).relu(), self.b(x).tanh()], -1))


class Queries(nn.Module):
    """Attention in which two heads of queries share one of keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.heads, self.each, self.scale = 2, 2, 0.5
        self.q, self.k, self.v = nn.Linear(4, 12), nn.Linear(4, 6), nn.Linear(4, 6)
        self.out = nn.Linear(12, 2)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, _ = x.shape
        q = self.q(x).view(batch, time, self.heads, self.each, 3)
        k, v = (f(x).view(batch, time, self.heads, 3) for f in (self.k, self.v))
        scores = torch.einsum("bthrd,bshd->bhrts", q, k) * self.scale
        mixed = torch.einsum("bhrts,bshd->bthrd", scores.softmax(-1), v)
        return self.out(mixed.reshape(batch, time, -1))


class Recurrent(nn.Module):
    """Two layers of a recurrent net, and what reads them."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell, self.head = kind(4, 3, num_layers=2, batch_first=True), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0])


def normed() -> nn.Module:
    """A batch norm, with units that nobody reads."""
    model: Any = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))
    with torch.no_grad():
        for tensor in (model[1].weight, model[1].running_var, model[1].running_mean):
            tensor.uniform_(0.5, 1.5)
        model[3].weight[:, 2:4] = 0
    return model


def padded() -> nn.Module:
    """Convolutions; one channel is a constant, which is not there at the border of the next one."""
    model: Any = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1))
    with torch.no_grad():
        model[0].weight[2], model[0].bias[2] = 0, 0.5
    return model


def chain() -> nn.Module:
    """A unit of the second layer that nobody reads, and one of the first that only it reads."""
    model: Any = nn.Sequential(
        nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)
    )
    with torch.no_grad():
        model[4].weight[:, 1] = 0
        model[2].weight[[0, 2, 3, 4], 2] = 0
    return model


def deep() -> nn.Module:
    """A layer that is the identity, and one that is nearly so."""
    model: Any = nn.Sequential()
    for name, layer in {
        "fc": nn.Linear(4, 6),
        "act": nn.ReLU(),
        "same": nn.Linear(6, 6),
        "next": nn.ReLU(),
        "trained": nn.Linear(6, 6),
        "head": nn.Linear(6, 2),
    }.items():
        model.add_module(name, layer)
    with torch.no_grad():
        for layer in (model.same, model.trained):
            layer.weight.copy_(torch.eye(6))
            layer.bias.zero_()
        model.trained.weight.add_(1e-2)
    return model


def blocks() -> nn.Module:
    """Grouped and depthwise convolutions, read by a layer that sees channels as blocks."""
    return nn.Sequential(
        nn.Conv2d(2, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU(),
        nn.Conv2d(6, 6, 1, groups=6), nn.Flatten(), nn.Linear(24, 2),
    )  # fmt: skip


def plain() -> nn.Module:
    """Two layers."""
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def words() -> nn.Module:
    """Tokens."""
    return nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))


def _vectors() -> Tensor:
    return torch.randn(6, 4)


def _series() -> Tensor:
    return torch.randn(2, 2, 4)


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Tensor]]] = {
    "fork": (Fork, _vectors),
    "twins": (Twins, _vectors),
    "residual": (Residual, _vectors),
    "stream": (Stream, _vectors),
    "tied": (Tied, _vectors),
    "gated": (Gated, _vectors),
    "joined": (Joined, _vectors),
    "normed": (normed, _vectors),
    "chain": (chain, _vectors),
    "deep": (deep, _vectors),
    "plain": (plain, _vectors),
    "queries": (Queries, _series),
    "lstm": (lambda: Recurrent(nn.LSTM), _series),
    "gru": (lambda: Recurrent(nn.GRU), _series),
    "padded": (padded, lambda: torch.randn(3, 2, 6, 6)),
    "blocks": (blocks, lambda: torch.randn(3, 2, 4, 4)),
    "words": (words, lambda: torch.arange(12).reshape(3, 4) % 9),
}


def make(name: str) -> Made:
    """A model and an input for it."""
    model, inputs = NETS[name]
    return model(), inputs()


def trained(name: str, *, mode: bool = True) -> tuple[nn.Module, Tensor, torch.optim.Optimizer]:
    """The same after one step of an optimizer that leaves the numbers as they were."""
    model, x = make(name)
    model.train(mode)
    optimizer = torch.optim.Adam(model.parameters(), lr=0)
    model(x).square().sum().backward()
    optimizer.step()
    return model, x, optimizer
