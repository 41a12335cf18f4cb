"""Small models of several kinds, and what they are run on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from morphir.field import check_field
from morphir.ir import Check

X = torch.randn(16, 4)
IMAGE = torch.randn(2, 3, 8, 8)
SEQUENCE = torch.randn(2, 5, 8)
TOKENS = torch.randint(0, 9, (16, 5))


class Recurrent(nn.Module):
    def __init__(self, kind: Any) -> None:
        super().__init__()
        self.cell, self.head = kind(8, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0])


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.attention(x, x, x, need_weights=False)[0])


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(9, 6), nn.LayerNorm(6)
        self.hidden, self.head = nn.Linear(6, 7), nn.Linear(7, 3)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(F.silu(self.hidden(self.norm(self.embed(tokens).mean(1)))))


def mlp(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 3)
    )


def convolutional() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 4, 3, padding=1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(4, 3),
    )  # fmt: skip


def checked(old: nn.Module, new: nn.Module, *args: torch.Tensor, **options: Any) -> Check:
    return check_field(old, new, {"forward": (args, {})}, **options)
