"""Models with a place to insert something, and the shortest way to insert it and look."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, Grade, TransformResult


def grow(model: nn.Module, at: Any, *inputs: torch.Tensor, **options: Any) -> TransformResult:
    """Inserts and checks what every insertion promises: PROVED, and the same bits in both modes."""
    given = {"example_inputs": inputs} if inputs else {}
    result = morphir.transform(model, DeeperPass(at=at, **options), **given)
    assert result.report.grade is Grade.PROVED, result.report
    if inputs:
        for training in (False, True):
            assert_same_bits(model, result.module, *inputs, training=training)
    return result


def chain(*between: nn.Module, width: int = 8) -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, width), *between, nn.Linear(width, 4))


def assert_same_bits(
    before: nn.Module, after: nn.Module, *inputs: torch.Tensor, training: bool = False
) -> None:
    """The two return the same bits, given the same random draws, and remember the same."""
    outcomes = []
    for model in (before, after):
        modes = [(module, module.training) for module in model.modules()]
        state = {key: value.clone() for key, value in model.state_dict().items()}
        model.train(training)
        torch.manual_seed(7)
        with torch.no_grad():
            result = model(*(x.clone() for x in inputs))
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        model.load_state_dict(state)
        for module, mode in modes:
            module.training = mode
        outcomes.append((result, buffers))
    (old, old_buffers), (new, new_buffers) = outcomes
    assert torch.equal(old, new), (old - new).abs().max()
    assert all(torch.equal(value, new_buffers[name]) for name, value in old_buffers.items())


class Images(nn.Module):
    """Convolutions with BatchNorm, residuals and functional ReLUs."""

    def __init__(self, width: int = 6, **options: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1, **options)
        self.norm = nn.BatchNorm2d(width, dtype=options.get("dtype"))
        self.one = nn.Conv2d(width, width, 3, padding=1, **options)
        self.two = nn.Conv2d(width, width, 3, padding=1, **options)
        self.head = nn.Linear(width, 4, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = F.relu(x + self.two(F.relu(self.one(x))))
        return self.head(x.mean((2, 3)))


class Drops(nn.Module):
    """Residual blocks whose branches are dropped at random in train mode, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Linear(8, 8, bias=False)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.block = nn.Identity()
        self.head = nn.Linear(8, 4)

    def drop(self, x: torch.Tensor) -> torch.Tensor:
        kept = torch.full((x.shape[0], 1), 0.9)
        return x * torch.bernoulli(kept) / 0.9 if self.training else x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.gelu(self.down(x))
        x = x + self.drop(self.one(x))
        return self.head(self.block(x + self.drop(F.dropout(self.two(x), 0.1, self.training))))


class Branches(nn.Module):
    """Branches that end in one activation each and are concatenated, as in Inception."""

    def __init__(self, *activations: nn.Module) -> None:
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 4), each, nn.Dropout(0.0)) for each in activations
        )
        self.joined = nn.Identity()
        self.head = nn.Linear(4 * len(activations), 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(self.joined(torch.cat([branch(x) for branch in self.branches], -1)))


class Indexed(nn.Module):
    """A Sequential in a list that is also read by index, as in EfficientNet of timm."""

    def __init__(self) -> None:
        super().__init__()
        self.stages = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))])
        self.head = nn.Linear(8, 4)

    def width(self) -> int:
        return int(self.stages[0][-1].out_features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


class Shared(nn.Module):
    """One ReLU for all layers, as in every ResNet block."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Linear(8, 8), nn.Linear(8, width), nn.Linear(width, 4))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.c(self.relu(self.b(self.relu(self.a(x)))))


class Functional(nn.Module):
    """Linear layers with an activation that is called as a function."""

    def __init__(self, function: Any, *, skip: bool = False) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 4)
        self.function, self.skip = function, skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x)
        y = self.b(self.function(h))
        return y + h[:, :4] if self.skip else y
