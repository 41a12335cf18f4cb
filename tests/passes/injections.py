"""Models with a part that can begin anew, and the shortest way to have it do so and look."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

import morphir
from morphir import Grade, InjectPlasticityPass, TransformResult
from tests.passes.nets import assert_same_bits

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(3))


def mlp(*between: nn.Module, width: int = 6) -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, width), *(between or [nn.ReLU()]), nn.Linear(width, 2))


class Agent(nn.Module):
    """An actor and a critic, of which either may be given an optimizer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.actor = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
        self.critic = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 1))

    def act(self, obs: torch.Tensor) -> torch.Tensor:
        return self.actor(self.encoder(obs))

    def get_value(self, obs: torch.Tensor) -> torch.Tensor:
        return self.critic(self.encoder(obs))


ENTRY_POINTS = ("act", "get_value")


def inject(model: nn.Module, at: Any, *inputs: torch.Tensor, **options: Any) -> TransformResult:
    """Injects and checks what every injection promises: PROVED, and the same bits in both modes."""
    pass_ = InjectPlasticityPass(at, options.pop("targets", None), options.pop("seed", 0))
    given = {"example_inputs": inputs} if inputs else {}
    old = copy.deepcopy(model)
    result = morphir.transform(model, pass_, **given, **options)
    assert result.report.grade is Grade.PROVED, result.report
    for training in (False, True) if inputs and "entry_points" not in options else ():
        assert_same_bits(old, result.module, *inputs, training=training)
    return result


def learning(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def steps(model: nn.Module, optimizer: Any, count: int = 2) -> None:
    """Some steps on a fixed loss of a model that is called on X."""
    for _ in range(count):
        optimizer.zero_grad()
        model(X.to(next(model.parameters()))).square().sum().backward()
        optimizer.step()
