"""Small models, one for each thing that a recording must get right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional as F

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class One(nn.Module):
    """A linear layer, a buffer, a plain tensor and some numbers, with the forward of a test."""

    def __init__(self, forward: Callable[[One, Any], Any]) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(4))
        self.table = torch.arange(4.0)
        self.heads = 2
        self.count = 0
        self._forward = forward

    def forward(self, x: Any) -> Any:
        return self._forward(self, x)


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.extractor = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh())
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.extractor(x))


class ResNet(nn.Module):
    """Functional ReLUs, BatchNorm, a residual with a projection, a flatten that asks for sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shortcut = nn.Conv2d(4, 4, 1, stride=2)
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        h = F.relu(self.bn1(self.conv1(x)))
        h = self.bn2(self.conv2(h))
        h += self.shortcut(x)
        h = F.relu(h, inplace=True)
        h = F.adaptive_avg_pool2d(h, 1)
        return self.fc(h.view(h.size(0), -1))


class Agent(nn.Module):
    """No forward: two methods over one trunk, with a distribution that validates itself."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.actor, self.critic = nn.Linear(8, 3), nn.Linear(8, 1)

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        return self.critic(self.trunk(x))

    def get_action_and_value(
        self, x: torch.Tensor, action: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        hidden = self.trunk(x)
        policy = Categorical(logits=self.actor(hidden), validate_args=True)
        if action is None:
            action = policy.sample()
        return action, policy.log_prob(action), policy.entropy(), self.critic(hidden)


class SharedRelu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.relu = nn.ReLU()
        self.same = self.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.same(self.b(self.relu(self.a(x))))


class Attention(nn.Module):
    """Sizes from shapes, attributes and arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.n_head = 2
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, c = x.shape
        q, k, v = self.qkv(x).split(c, dim=2)
        q, k, v = (
            part.view(b, t, self.n_head, c // self.n_head).transpose(1, 2) for part in (q, k, v)
        )
        weights = (q @ k.transpose(-2, -1) / 2.0).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, c))


class Recurrent(nn.Module):
    """Keeps its last state on itself and counts in a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(4, 4)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.last: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        self.last = self.cell(x)
        return self.last


class Point(NamedTuple):
    mean: torch.Tensor
    scale: torch.Tensor


@dataclass
class Outcome:
    points: list[Point]
    extra: dict[str, Any]


class Structured(nn.Module):
    """Takes and gives dictionaries, tuples, named tuples and dataclasses."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(
        self, batch: dict[str, torch.Tensor], point: Point, mask: torch.Tensor | None = None
    ) -> Outcome:
        h = self.fc(batch["obs"]) + point.mean
        if mask is not None:
            h = h * mask
        return Outcome([Point(h, point.scale)], {"n": 3, "both": (h, batch["obs"])})


class Trained(nn.Module):
    """What train mode changes: BatchNorm's statistics and dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(inplace=True), nn.Dropout(0.5)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Tied(nn.Module):
    """One tensor under two names, and a layer that reads another's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.head = nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.embed(ids)) + F.linear(self.embed(ids), self.embed.weight * 2)


class InPlace(nn.Module):
    """A view that is changed, and the base that is read after it."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        h.view(-1).clamp_(min=0.0)
        h[:, 0] = 1.0
        out = torch.empty_like(h)
        torch.mul(h, 2, out=out)
        return out + h


IMAGE = torch.linspace(-1, 1, 2 * 3 * 6 * 6).reshape(2, 3, 6, 6)
TOKENS = torch.tensor([[1, 2, 3], [4, 5, 6]])
POINT = Point(torch.ones(3, 4), torch.full((3, 4), 0.5))
# Name -> model, and how it is recorded.
ZOO: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
    "mlp": (Mlp, {"example_inputs": (X,)}),
    "resnet": (ResNet, {"example_inputs": (IMAGE,)}),
    "agent": (
        Agent,
        {"example_inputs": (X,), "entry_points": ("get_value", "get_action_and_value")},
    ),
    "shared_relu": (SharedRelu, {"example_inputs": (X,)}),
    "attention": (Attention, {"example_inputs": (torch.ones(2, 3, 8),)}),
    "recurrent": (Recurrent, {"example_inputs": (X,)}),
    "structured": (Structured, {"example_inputs": ({"obs": X}, POINT)}),
    "trained": (Trained, {"example_inputs": (X,), "mode": "train"}),
    "tied": (Tied, {"example_inputs": (TOKENS,)}),
    "in_place": (InPlace, {"example_inputs": (X,)}),
}


def build(name: str) -> tuple[nn.Module, dict[str, Any]]:
    """A model of the zoo with its weights, and how it is recorded."""
    torch.manual_seed(0)
    make, how = ZOO[name]
    return make(), how
