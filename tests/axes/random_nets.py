"""Random networks over tokens and features: operations drawn once, then run as they were drawn."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOKENS = 4


@dataclass(frozen=True)
class Step:
    """One operation: of a value, another of its shape, and any; with a layer of its own."""

    operation: int
    operands: tuple[int, int, int]
    layer: int
    earlier: int


def _cut(x: Tensor) -> Tensor:
    return torch.cat(x.split([x.shape[-1] - 2, 2], -1)[::-1], -1)


def _heads(x: Tensor) -> Tensor:
    return x.view(*x.shape[:2], -1, 2).transpose(-1, -2).tanh().reshape(x.shape)


# Of a value, another of the same shape, any other, a layer from the features of the first, and a
# layer that was used before.
OPERATIONS: tuple[Callable[[Tensor, Tensor, Tensor, Any, Any], Tensor], ...] = (
    *[lambda a, b, c, new, old: new(a)] * 4,
    lambda a, b, c, new, old: a.relu(),
    lambda a, b, c, new, old: a.tanh(),
    lambda a, b, c, new, old: a**2,
    lambda a, b, c, new, old: a + b,
    lambda a, b, c, new, old: a * b,
    lambda a, b, c, new, old: torch.where(a > 0, a, b),
    lambda a, b, c, new, old: torch.cat([a, c], -1),
    lambda a, b, c, new, old: a.chunk(2, -1)[1],
    lambda a, b, c, new, old: F.glu(a, -1),
    lambda a, b, c, new, old: a[..., 1:],
    lambda a, b, c, new, old: _cut(a),
    lambda a, b, c, new, old: F.pad(a, (0, 1)),
    lambda a, b, c, new, old: _heads(a),
    lambda a, b, c, new, old: a.unflatten(-1, (2, -1)).mT.relu().flatten(-2),
    lambda a, b, c, new, old: torch.stack([a, b], -2).flatten(-2),
    lambda a, b, c, new, old: torch.stack([a, b], -1).sum(-1),
    lambda a, b, c, new, old: (a.unsqueeze(-1) * b.unsqueeze(-2)).sum(-1),
    lambda a, b, c, new, old: (a.unsqueeze(-1) * b.unsqueeze(-2)).flatten(-2),
    lambda a, b, c, new, old: (a @ b.mT).softmax(-1) @ c,
    lambda a, b, c, new, old: (new(a) @ new(b).mT).softmax(-1) @ c,
    lambda a, b, c, new, old: F.layer_norm(a, (a.shape[-1],)),
    lambda a, b, c, new, old: b + a.sum(-1, keepdim=True),
    lambda a, b, c, new, old: a * b.mean(-1, keepdim=True),
    lambda a, b, c, new, old: a - b.amax(-1, keepdim=True),
    lambda a, b, c, new, old: a + torch.ones(a.shape[-1]),
    lambda a, b, c, new, old: a.cumsum(1),
    lambda a, b, c, new, old: a + old(b),
    lambda a, b, c, new, old: a @ old.weight,
    lambda a, b, c, new, old: a @ old.weight.mT,
)


class RandomNet(nn.Module):
    """A network that was drawn from a seed; it takes `[batch, 4, 3]`."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        numbers = random.Random(seed)
        self.layers = nn.ModuleList([nn.Linear(3, numbers.choice([4, 6, 8]))])
        self.steps: tuple[Step, ...] = ()
        values = [self.layers[0](torch.randn(2, TOKENS, 3))]
        while len(self.steps) < 3 + seed % 6:
            first = numbers.randrange(max(0, len(values) - 3), len(values))
            like = [k for k, value in enumerate(values) if value.shape == values[first].shape]
            operands = first, numbers.choice(like), numbers.randrange(len(values))
            layer, earlier = len(self.layers), numbers.randrange(len(self.layers))
            step = Step(numbers.randrange(len(OPERATIONS)), operands, layer, earlier)
            width = numbers.choice([3, 4, 6, 8])
            self.layers.append(nn.Linear(values[first].shape[-1], width, bias=seed % 3 > 0))
            try:
                value = self._run(step, values)
            except (RuntimeError, ValueError):
                value = values[first][:, :0]
            if value.dim() == 3 and value.shape[1] == TOKENS and value.shape[2] in range(1, 40):
                values.append(value)
                self.steps += (step,)
            else:
                del self.layers[layer]
        self.other = numbers.randrange(len(values))
        width = values[-1].shape[-1] + values[self.other].shape[-1]
        self.head = nn.Linear(width, 2)

    def _run(self, step: Step, values: list[Tensor]) -> Tensor:
        operands = (values[k] for k in step.operands)
        layers = self.layers[step.layer], self.layers[step.earlier]
        return OPERATIONS[step.operation](*operands, *layers)

    def forward(self, x: Tensor) -> Tensor:
        values = [self.layers[0](x)]
        for step in self.steps:
            values.append(self._run(step, values))
        return self.head(torch.cat([values[-1], values[self.other]], -1))
