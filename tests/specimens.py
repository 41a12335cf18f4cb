"""Models to operate on, and a fingerprint by which a test sees that nothing was touched."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    """An extractor in a Sequential, and a head: a layer goes in as a neighbour."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.extractor = nn.Sequential(
            nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.head = nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.extractor(x))


class Attributes(nn.Module):
    """Layers in attributes and functional activations: a layer is hosted by its anchor."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(4, 8)
        self.act = nn.ReLU()
        self.fc2 = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.act(self.fc1(x)))

    def greet(self) -> str:
        return f"{len([*self.parameters()])} parameters"


class Agent(nn.Module):
    """Two networks and no forward, as in CleanRL."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def get_value(self, x: torch.Tensor) -> torch.Tensor:
        return self.critic(x)

    def get_logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.actor(x)


class Conv(nn.Module):
    """A convolution with BatchNorm, functional ReLUs and a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.norm(self.conv1(x)))
        return self.head((y + F.relu(self.conv2(y))).mean((2, 3)))


def train_a_little(model: nn.Module, optimizer: Any, steps: int = 2) -> None:
    """Steps on a loss of `model(x)`, so that there is state to lose."""
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()


def fingerprint(model: nn.Module, optimizers: Sequence[torch.optim.Optimizer] = ()) -> str:
    """Everything that can be seen of a model, of optimizers and of the random state."""
    seen: list[Any] = []
    for name, module in model.named_modules(remove_duplicate=False):
        seen += [name, id(module), id(type(module)), [*module._modules], [*vars(module)]]
        for key, value in vars(module).items():
            seen.append((key, _look(value)))
    for optimizer in optimizers:
        seen += [id(optimizer), [*vars(optimizer)]]
        for group in optimizer.param_groups:
            seen.append([(key, _look(value)) for key, value in group.items()])
        for parameter, state in optimizer.state.items():
            seen.append((id(parameter), [(key, _look(value)) for key, value in state.items()]))
    seen += [torch.get_rng_state().tolist(), np.random.get_state(), random.getstate()]
    return hashlib.sha256(repr(seen).encode()).hexdigest()


def _look(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        hooks = [*(value._backward_hooks or {}).values()] if value.requires_grad else []
        bits = value.detach().double().flatten().tolist()
        grad = None if not value.is_leaf else _look(value.grad)
        kept = (value.requires_grad, value.dtype, value.shape, sorted(vars(value)))
        return (id(value), kept, bits, grad, [id(h) for h in hooks])
    if isinstance(value, dict):
        return [(key, _look(part)) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return [_look(part) for part in value]
    if isinstance(value, bool | int | float | str | None):
        return value
    return id(value)
