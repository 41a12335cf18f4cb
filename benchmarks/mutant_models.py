"""Small networks, one for each family of ops, each with a change of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, WiderPass


@dataclass(frozen=True)
class Family:
    """A network and a pass for it.

    Attributes:
        build: Makes the network.
        inputs: Example inputs.
        pass_: The change.
        free: What the names of parameters begin with in which every number is right.
    """

    build: Callable[[], nn.Module]
    inputs: tuple[Tensor, ...]
    pass_: Any
    free: tuple[str, ...] = ()


class Residual(nn.Module):
    """A stream with a normalised branch."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.stem, self.norm = nn.Linear(4, 6), norm(6)
        self.up, self.down, self.head = nn.Linear(6, 8), nn.Linear(8, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, 4) to (batch, 2)."""
        x = self.stem(x)
        return self.head(x + self.down(F.gelu(self.up(self.norm(x)))))


class Concatenated(nn.Module):
    """Two branches side by side, and a product of them."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(11, 3)
        self.gate = nn.Linear(4, 6)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, 4) to (batch, 3)."""
        gated = self.a(x).relu() * self.gate(x).sigmoid()
        return self.head(torch.cat([gated, self.b(x).tanh()], -1))


class Excited(nn.Module):
    """Channels that are scaled by what their means say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.squeeze = nn.Conv2d(3, 6, 3, padding=1), nn.Linear(6, 4)
        self.excite, self.head = nn.Linear(4, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, 3, height, width) to (batch, 2, height, width)."""
        x = self.conv(x).relu()
        scale = self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        return self.head(x * scale[:, :, None, None])


class Recurrent(nn.Module):
    """A recurrent layer that is read out."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.cell, self.head = kind(4, 5, batch_first=True), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, time, 4) to (batch, time, 2)."""
        return self.head(self.cell(x)[0])


class Shared(nn.Module):
    """One layer that is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.mix, self.head = nn.Linear(4, 4), nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (batch, 4) to (batch, 2)."""
        return self.head(self.mix(self.inner(self.inner(x).tanh())).relu())


def words() -> nn.Module:
    """Tokens."""
    return nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 8), nn.SiLU(), nn.Linear(8, 3))


def encoder() -> nn.Module:
    """Attention and normalisation."""
    return nn.TransformerEncoderLayer(8, 2, 12, batch_first=True).eval()


def _mlp(activation: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Linear(4, 8), activation(), nn.Linear(8, 6), activation(), nn.Linear(6, 2)
    )


_draw = torch.Generator().manual_seed(0)
X, IMAGE, SERIES, SEQUENCE = (
    torch.randn(shape, generator=_draw) for shape in [(8, 4), (4, 3, 6, 6), (4, 5, 4), (4, 5, 8)]
)
TOKENS = torch.arange(24).reshape(4, 6) % 9

FAMILIES: dict[str, Family] = {
    "linear, relu": Family(_mlp(nn.ReLU), (X,), WiderPass(at="0", width=13)),
    "linear, gelu": Family(_mlp(nn.GELU), (X,), WiderPass(at="2", width=9)),
    "linear, prelu": Family(_mlp(nn.PReLU), (X,), WiderPass(at="0", width=11)),
    "inserted identity": Family(_mlp(nn.ReLU), (X,), DeeperPass(at="1")),
    "inserted residual": Family(
        _mlp(nn.SiLU), (X,), DeeperPass(at="1", block="residual"), ("1_deeper1.first",)
    ),
    "layer norm": Family(Residual, (X,), WiderPass(at="up", width=13)),
    "rms norm": Family(lambda: Residual(nn.RMSNorm), (X,), WiderPass(at="stem", width=12)),
    "concatenation, gates": Family(Concatenated, (X,), WiderPass(at="a", width=9)),
    "convolution, batch norm": Family(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 2, 2)
        ),
        (IMAGE,),
        WiderPass(at="0", width=10),
    ),
    "grouped convolution": Family(
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 6, 3, groups=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(96, 2),
        ),
        (IMAGE,),
        WiderPass(at="2", width=8),
    ),
    "depthwise convolution": Family(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=6), nn.Conv2d(6, 2, 1)
        ),
        (IMAGE,),
        WiderPass(at="0", width=9),
    ),
    "group norm, transposed": Family(
        lambda: nn.Sequential(
            nn.Conv2d(3, 6, 1), nn.GroupNorm(3, 6), nn.SiLU(), nn.ConvTranspose2d(6, 2, 2)
        ),
        (IMAGE,),
        WiderPass(at="0", width=12),
    ),
    "squeeze and excitation": Family(Excited, (IMAGE,), WiderPass(at="conv", width=9)),
    "attention": Family(encoder, (SEQUENCE,), WiderPass(at="linear1", width=17)),
    "embedding": Family(words, (TOKENS,), WiderPass(at="1", width=11)),
    "lstm": Family(lambda: Recurrent(nn.LSTM), (SERIES,), WiderPass(at="cell", width=8)),
    "gru": Family(lambda: Recurrent(nn.GRU), (SERIES,), WiderPass(at="cell", width=8)),
    "shared layer": Family(Shared, (X,), WiderPass(at="mix", width=11)),
}


def changed(name: str, seed: int) -> tuple[nn.Module, morphir.TransformResult]:
    """A family's network, and what its pass makes of it."""
    family = FAMILIES[name]
    torch.manual_seed(seed)
    model = family.build().eval()
    with torch.no_grad():
        for buffer in model.buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5)
    return model, morphir.transform(model, family.pass_, example_inputs=family.inputs)
