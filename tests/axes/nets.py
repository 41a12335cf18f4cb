"""Networks whose every width is an argument, so that what a width changes can be looked up."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.axes import attentions, meetings, vision


def mlp(inputs: int = 3, hidden: int = 7, outputs: int = 2) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


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
    "mlp": (mlp, torch.rand(2, 3), ("forward",)),  # with positive weights no unit is off
    "residual": (vision.ResidualCnn, torch.randn(2, 3, 4, 4), ("forward",)),
    "concatenation": (vision.Concatenation, torch.randn(2, 3, 2, 2), ("forward",)),
    "grouped": (vision.Grouped, torch.randn(2, 2, 4, 4), ("forward",)),
    "gated": (Gated, torch.randn(2, 3), ("forward",)),
    "transformer": (Transformer, torch.arange(8).reshape(2, 4), ("forward",)),
    "agent": (Agent, torch.randn(2, 3), BOTH),
    "tied": (meetings.Tied, torch.arange(8).reshape(2, 4), ("forward",)),
    "gram": (meetings.Gram, torch.randn(2, 4, 3), ("forward",)),
    "summed": (meetings.SummedRelu, torch.randn(2, 3), ("forward",)),
    "squeeze": (vision.SqueezeExcite, torch.randn(2, 3, 4, 4), ("forward",)),
    "shared": (meetings.Shared, torch.randn(2, 3), ("forward",)),
    "offsets": (meetings.Offsets, torch.randn(2, 3), ("forward",)),
    "dueling": (meetings.Dueling, torch.randn(2, 3), ("forward",)),
    "products": (meetings.Products, torch.randn(2, 3), ("forward",)),
    "constants": (meetings.Constants, torch.randn(2, 3), ("forward",)),
    "norms": (meetings.Norms, torch.randn(2, 3, 5), ("forward",)),
    "normalised": (meetings.Normalised, torch.randn(2, 3), ("forward",)),
    "shuffle": (vision.Shuffle, torch.randn(2, 3, 4, 4), ("forward",)),
    "literal": (meetings.Literal, torch.randn(2, 3, 4, 4), ("forward",)),
    "dense": (vision.Dense, torch.randn(2, 3, 4, 4), ("forward",)),
    "mixer": (vision.Mixer, torch.randn(2, 3, 4, 4), ("forward",)),
    "inverted": (vision.Inverted, torch.randn(2, 3, 4, 4), ("forward",)),
    "upsampler": (vision.Upsampler, torch.randn(2, 3, 4, 4), ("forward",)),
    "recurrent": (meetings.Recurrent, torch.randn(2, 4, 3), ("forward",)),
    "encoder": (meetings.Encoder, torch.randn(2, 4, 3), ("forward",)),
    "by_split": (attentions.BySplit, torch.randn(2, 4, 2), ("forward",)),
    "by_chunk": (attentions.ByChunk, torch.randn(2, 4, 2), ("forward",)),
    "by_unbind": (attentions.ByUnbind, torch.randn(2, 4, 2), ("forward",)),
    "by_index": (attentions.ByIndex, torch.randn(2, 4, 2), ("forward",)),
    "separate": (attentions.Separate, torch.randn(2, 4, 2), ("forward",)),
    "gpt": (attentions.Gpt, torch.arange(8).reshape(2, 4), ("forward",)),
}
