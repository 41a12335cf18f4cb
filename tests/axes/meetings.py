"""Small networks in which axes meet in ways that ask something of one another."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Tied(nn.Module):
    """An embedding that is the head as well."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, width)
        self.inner = nn.Linear(width, width)
        self.head = nn.Linear(width, 13, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.inner(self.embedding(tokens)))


class Gram(nn.Module):
    """Features against themselves."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.features = nn.Linear(3, width)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        return features @ features.transpose(-1, -2)


class SummedRelu(nn.Module):
    """A sum over units behind a ReLU, and one over units behind nothing."""

    def __init__(self, width: int = 7, linear: int = 5) -> None:
        super().__init__()
        self.features = nn.Linear(3, width)
        self.linear = nn.Linear(3, linear)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return F.relu(self.features(x)).sum(-1), self.linear(x).sum(-1)


class Shared(nn.Module):
    """One layer in two places of a residual stream."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.layer = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.layer(x.relu())
        return self.head(x + self.layer(x.tanh()))


class Offsets(nn.Module):
    """Parts that are joined and cut again elsewhere, by attributes and by shapes."""

    def __init__(self, first: int = 5, second: int = 7) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, first), nn.Linear(3, second)
        self.widths = [first, second]
        self.edge = first
        self.one, self.other = nn.Linear(first, 2), nn.Linear(second, 2)
        self.both = nn.Linear(first + second, 2)

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        joined = torch.cat([first, self.second(x)], -1)
        left, right = joined[..., : self.edge], joined[..., first.shape[-1] :]
        return self.both(joined) + self.one(left.relu()) + self.other(right)


class Dueling(nn.Module):
    """A value and advantages without their mean."""

    def __init__(self, hidden: int = 7, value: int = 5, advantage: int = 11) -> None:
        super().__init__()
        self.trunk = nn.Linear(3, hidden)
        self.value = nn.Sequential(nn.Linear(hidden, value), nn.ReLU(), nn.Linear(value, 1))
        self.advantage = nn.Sequential(
            nn.Linear(hidden, advantage), nn.ReLU(), nn.Linear(advantage, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.trunk(x).relu()
        advantage = self.advantage(x)
        return self.value(x) + advantage - advantage.mean(-1, keepdim=True)


class Products(nn.Module):
    """Products in which nothing says which factor is to be split."""

    def __init__(self, width: int = 7, summed: int = 5) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(3, width), nn.Linear(3, width)
        self.scale = nn.Parameter(torch.ones(width))
        self.head = nn.Linear(width, 2)
        self.one, self.other = nn.Linear(3, summed), nn.Linear(3, summed)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        product = self.left(x) * self.right(x) * self.scale
        return self.head(product), (self.one(x) * self.other(x)).sum(-1)


class Constants(nn.Module):
    """Ones and zeros as long as the features."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.width = width
        self.features = nn.Linear(3, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.features(x)
        state = torch.zeros(x.shape[0], self.width)
        for _ in range(2):
            state = torch.tanh(state + features) * torch.ones(features.shape[1])
        return self.head(state + torch.full_like(features, 0.5))


class Norms(nn.Module):
    """Every kind of normalisation in a row."""

    def __init__(self, groups: int = 3, width: int = 2, hidden: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, groups * width, 1)
        self.group = nn.GroupNorm(groups, groups * width)
        self.instance = nn.InstanceNorm1d(groups * width, affine=True)
        self.up = nn.Linear(groups * width, hidden)
        self.layer = nn.LayerNorm(hidden)
        self.rms = nn.RMSNorm(hidden)
        self.head = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.instance(self.group(self.stem(x)) ** 2).transpose(1, 2)
        return self.head(self.rms(self.layer(self.up(x)).sigmoid()))


class Normalised(nn.Module):
    """Two branches that are joined before a LayerNorm, and a unit sphere."""

    def __init__(self, first: int = 5, second: int = 7, ball: int = 4) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, first), nn.Linear(3, second)
        self.norm = nn.LayerNorm(first + second)
        self.ball = nn.Linear(first + second, ball)
        self.head = nn.Linear(ball, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(torch.cat([self.first(x), self.second(x)], -1))
        return self.head(F.normalize(self.ball(x), dim=-1))


class Literal(nn.Module):
    """A number in the code that a width would have to change."""

    def __init__(self, width: int = 7) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.head = nn.Linear(width * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).view(-1, 112))


class Recurrent(nn.Module):
    """Layers in both directions, then cells over time."""

    def __init__(self, width: int = 5, hidden: int = 6, cell: int = 7) -> None:
        super().__init__()
        self.stem = nn.Linear(3, width)
        self.lstm = nn.LSTM(width, hidden, 2, batch_first=True, bidirectional=True)
        self.cell = nn.GRUCell(2 * hidden, cell)
        self.head = nn.Linear(cell, 2)

    def forward(self, x: Tensor) -> Tensor:
        x, _ = self.lstm(self.stem(x))
        state = None
        for k in range(x.shape[1]):
            state = self.cell(x[:, k], state)
        return self.head(state)


class Encoder(nn.Module):
    """torch's own encoder layer on a residual stream."""

    def __init__(self, heads: int = 2, head: int = 4, inner: int = 5) -> None:
        super().__init__()
        self.stem = nn.Linear(3, heads * head)
        self.layer = nn.TransformerEncoderLayer(heads * head, heads, inner, batch_first=True)
        self.head = nn.Linear(heads * head, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.stem(x)))
