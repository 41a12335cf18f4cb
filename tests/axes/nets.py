"""Networks whose every width is an argument, so that what a width changes can be looked up."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(inputs: int = 3, hidden: int = 7, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class ResidualCnn(nn.Module):
    """A residual trunk, an inner width, and a flatten before the head."""

    def __init__(self, trunk: int = 7, inner: int = 11, outputs: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, trunk, 3, padding=1)
        self.norm = nn.BatchNorm2d(trunk)
        self.first = nn.Conv2d(trunk, inner, 3, padding=1, bias=False)
        self.inner_norm = nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, trunk, 1)
        self.head = nn.Linear(trunk * 16, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = x + self.second(F.relu(self.inner_norm(self.first(x))))
        return self.head(x.flatten(1))


class Concatenation(nn.Module):
    """Two branches side by side, normalised together, one of them used again."""

    def __init__(self, left: int = 5, right: int = 7, outputs: int = 2) -> None:
        super().__init__()
        self.left = nn.Conv2d(3, left, 1)
        self.right = nn.Conv2d(3, right, 1)
        self.norm = nn.BatchNorm2d(left + right)
        self.again = nn.Linear(left, 3)
        self.head = nn.Linear((left + right) * 4, outputs)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        left = self.left(x)
        both = self.norm(torch.cat([left, self.right(x)], 1))
        return self.head(both.flatten(1)), self.again(both[:, : left.shape[1]].mean((2, 3)))


class Grouped(nn.Module):
    """A depthwise convolution between two others, then a grouped one."""

    def __init__(self, groups: int = 3, width: int = 5, out: int = 7) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, groups * width, 1)
        self.depthwise = nn.Conv2d(groups * width, groups * width, 3, groups=groups * width)
        self.grouped = nn.Conv2d(groups * width, groups * out, 1, groups=groups)
        self.head = nn.Conv2d(groups * out, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.grouped(F.relu(self.depthwise(self.first(x))))))


class Gated(nn.Module):
    """A GLU by chunk."""

    def __init__(self, hidden: int = 7) -> None:
        super().__init__()
        self.up = nn.Linear(3, 2 * hidden)
        self.down = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        return self.down(value * gate.sigmoid())


class Transformer(nn.Module):
    """One block with heads by view and permute, under a tied embedding and head."""

    def __init__(self, width: int = 11, heads: int = 3, head: int = 5, inner: int = 13) -> None:
        super().__init__()
        self.heads = heads
        self.embedding = nn.Embedding(17, width)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, heads * head)
        self.key_value = nn.Linear(width, 2 * heads * head)
        self.mix = nn.Linear(heads * head, width)
        self.up = nn.Linear(width, inner)
        self.down = nn.Linear(inner, width)
        self.head = nn.Linear(width, 17, bias=False)
        self.head.weight = self.embedding.weight

    def split(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        return x.view(batch, tokens, self.heads, -1).permute(0, 2, 1, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        normed = self.norm(x)
        key, value = self.key_value(normed).chunk(2, dim=-1)
        scores = self.split(self.query(normed)) @ self.split(key).transpose(-1, -2)
        mixed = (scores.softmax(-1) @ self.split(value)).permute(0, 2, 1, 3).flatten(2)
        x = x + self.mix(mixed)
        return self.head(x + self.down(F.gelu(self.up(x))))


class Agent(nn.Module):
    """A trunk under two entry points, each with a head of its own."""

    def __init__(self, trunk: int = 7, policy: int = 11) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(3, trunk), nn.Tanh())
        self.policy = nn.Sequential(nn.Linear(trunk, policy), nn.Tanh(), nn.Linear(policy, 2))
        self.critic = nn.Linear(trunk, 1)

    def get_value(self, x: Tensor) -> Tensor:
        return self.critic(self.trunk(x))

    def get_action_and_value(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.policy(hidden), self.critic(hidden)


BOTH = ("get_value", "get_action_and_value")
# Constructor, example inputs, entry points.
NETS: dict[str, tuple[Any, Tensor, tuple[str, ...]]] = {
    "mlp": (mlp, torch.randn(2, 3), ("forward",)),
    "residual": (ResidualCnn, torch.randn(2, 3, 4, 4), ("forward",)),
    "concatenation": (Concatenation, torch.randn(2, 3, 2, 2), ("forward",)),
    "grouped": (Grouped, torch.randn(2, 2, 4, 4), ("forward",)),
    "gated": (Gated, torch.randn(2, 3), ("forward",)),
    "transformer": (Transformer, torch.arange(8).reshape(2, 4), ("forward",)),
    "agent": (Agent, torch.randn(2, 3), BOTH),
}
