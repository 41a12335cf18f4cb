"""Models to draw."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """A residual block."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(F.relu(self.up(self.norm(x))))


class ActorCritic(nn.Module):
    """Two heads on a residual trunk."""

    def __init__(self, width: int = 6, hidden: int = 10) -> None:
        super().__init__()
        self.stem = nn.Linear(4, width)
        self.blocks = nn.Sequential(Block(width, hidden), Block(width, hidden + 1))
        self.actor, self.critic = nn.Linear(width, 3), nn.Linear(width, 1)

    def trunk(self, x: Tensor) -> Tensor:
        return self.blocks(F.relu(self.stem(x)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.trunk(x)
        return self.actor(hidden), self.critic(hidden)

    def get_value(self, x: Tensor) -> Tensor:
        return self.critic(self.trunk(x))


class Tied(nn.Module):
    """The width of an embedding that is also a head, and heads by attributes: neither is simple."""

    def __init__(self, width: int = 12, heads: int = 2) -> None:
        super().__init__()
        self.heads, self.head = heads, width // heads
        self.embed = nn.Embedding(7, width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embed(ids)
        b, t, _ = x.shape
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (p.view(b, t, self.heads, self.head).transpose(1, 2) for p in parts)
        mixed = F.scaled_dot_product_attention(q, k, v)
        x = x + self.mix(mixed.transpose(1, 2).reshape(b, t, self.heads * self.head))
        return x @ self.embed.weight.T


class Fused(nn.Module):
    """Heads that only change with the stream, and a width of queries that became a number."""

    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.stem = nn.Linear(4, width)
        self.qkv, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.out = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x[:, None].expand(-1, 5, -1))
        b, t, c = x.shape
        parts = self.qkv(x).chunk(3, dim=-1)
        q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2) for p in parts)
        weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
        return self.out(x + self.mix((weights @ v).transpose(1, 2).reshape(b, t, c)))


class Views(nn.Module):
    """A tensor is changed through a view of it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone()
        x[:, :2].mul_(2)
        return self.last(self.first(x))


class Skips(nn.Module):
    """Every layer reads all those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4 * k, 4) for k in range(1, 5))

    def forward(self, x: Tensor) -> Tensor:
        found = [x]
        for layer in self.layers:
            found.append(layer(torch.cat(found, -1)).tanh())
        return found[-1]


class Branches(nn.Module):
    """Branches of different depth side by side, in a module of their own, and a mask made late."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.short = nn.Linear(4, 5)
            self.long = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.Tanh())

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.short(x), self.long(x)

    def __init__(self) -> None:
        super().__init__()
        self.both, self.unused = self.Both(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.both(x)
        return (first + second) * torch.arange(5) + first


def conv_net() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 5)
    )


def masked() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    mask = torch.ones(8, 4)
    mask[:, 0] = 0.0
    net[0].register_buffer("weight_mask", mask)
    with torch.no_grad():
        net[0].weight.mul_(mask)
    return net


IDS = (torch.zeros(2, 5, dtype=torch.long),)
IMAGES = (torch.zeros(2, 3, 6, 6),)
ROWS = (torch.zeros(2, 4),)
EVERY = {
    "conv_net": (conv_net, IMAGES),
    "ActorCritic": (ActorCritic, ROWS),
    "Tied": (Tied, IDS),
    "Fused": (Fused, ROWS),
    "Skips": (Skips, ROWS),
    "Views": (Views, ROWS),
    "Branches": (Branches, ROWS),
    "masked": (masked, ROWS),
}
