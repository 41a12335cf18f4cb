"""Pairs of small models for the checkers, and the shortest way to a verdict about them."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import Certificate, Check, Grade, InsertionClaim, Mode
from morphir.ops import DEFAULT_TABLE

FORWARD = ("forward",)


class Net(nn.Module):
    """A module whose forward is a function of itself and its inputs."""

    def __init__(self, forward: Callable[..., Any], /, **members: Any) -> None:
        super().__init__()
        for name, member in members.items():
            if isinstance(member, torch.Tensor) and not isinstance(member, nn.Parameter):
                self.register_buffer(name, member)
            else:
                setattr(self, name, member)
        self._function = forward

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(self, *args, **kwargs)


def pair(
    old: Callable[..., Any], changed: Callable[..., Any], /, **members: Any
) -> tuple[Net, Net]:
    """Two modules with equal members; those whose names start with `new` are the second's only."""
    kept = {k: v for k, v in members.items() if not k.startswith("new")}
    return Net(old, **copy.deepcopy(kept)), Net(changed, **members)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))


def identity(size: int, **options: Any) -> nn.Linear:
    """A linear layer that returns its operand."""
    layer = nn.Linear(size, size, **options)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(size))
        if layer.bias is not None:
            layer.bias.zero_()
    return layer


def zeros(inputs: int, outputs: int, **options: Any) -> nn.Linear:
    """A linear layer that returns zero."""
    layer = nn.Linear(inputs, outputs, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


def dirac(kind: type[nn.Module], channels: int, kernel: Any, **options: Any) -> nn.Module:
    """A convolution with one tap of 1 per channel in the middle of its kernel."""
    layer: Any = kind(channels, channels, kernel, bias=False, **options)
    with torch.no_grad():
        layer.weight.zero_()
        for channel in range(channels):
            tap = tuple((k - 1) // 2 for k in layer.kernel_size)
            layer.weight[(channel, channel % layer.weight.shape[1], *tap)] = 1
    return layer


def certify(
    before: nn.Module,
    after: nn.Module,
    *inputs: torch.Tensor,
    claims: Sequence[InsertionClaim] | None = None,
    entry_points: Sequence[str] = FORWARD,
    mode: Mode = "eval",
) -> Check:
    """The certificate checker's outcome; without claims, new state may be anywhere."""
    given = inputs or (torch.randn(3, 8),)
    old, new = (
        record(m, example_inputs=given, entry_points=entry_points, mode=mode).program
        for m in (before, after)
    )
    certificate = None if claims is None else Certificate(old.hash, new.hash, tuple(claims))
    return check_certificate(old, new, certificate, DEFAULT_TABLE)


def is_proved(check: Check) -> bool:
    """Whether a check says PROVED; anything else must be UNKNOWN and say where."""
    if check.grade is Grade.PROVED:
        return True
    assert check.grade is Grade.UNKNOWN, check
    assert check.summary, check
    assert check.where, check
    return False
