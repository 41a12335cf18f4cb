"""What gated activations do to boxes: x times a gate that never falls, as SiLU is x * sigmoid(x).

    gelu       erfc(-x / sqrt 2) / 2, or sigmoid(2 sqrt(2 / pi) (x + 0.044715 x^3))
    silu       sigmoid(x)
    mish       tanh(softplus(x))
    hardswish  relu6(x + 3) / 6

A product of intervals is small where both factors are, so what is one number stays one. The gates
are written such that nothing cancels: torch computes GELU from 1 + erf, which has one digit at -8.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from torch.nn import functional as F

from morphir.ops.base import Op
from morphir.ops.box_rules import TINY, Box, Rule, product
from morphir.ops.interval import ANYTHING

_Gate = Callable[[Box, Mapping[str, Any]], Box]


def _gated(gate: _Gate, *, closes: bool = False) -> Rule:
    """The rule of x times a gate, which may be 0 only if it closes: else it underflowed."""

    def rule(op: Op, arguments: Mapping[str, Any]) -> Box | None:
        x = arguments["input"]
        low, high = gate(x, arguments)
        low, high = low.clamp(min=0), high if closes else high.clamp(min=TINY)
        corners = torch.stack([product(a, b) for a in x for b in (low, high)])
        found = Box(corners.amin(0), corners.amax(0)).outward()
        assert op.bounds is not None
        least = op.bounds(arguments, lambda _: ANYTHING).low
        return Box(found.low.clamp(min=least), found.high)

    return rule


def _rising(function: Callable[[torch.Tensor], torch.Tensor], x: Box, ulps: int) -> Box:
    """The image under a non-decreasing function that is computed to some ulps."""
    return Box(*map(function, x)).outward(ulps)


def _gelu(x: Box, arguments: Mapping[str, Any]) -> Box:
    if arguments["approximate"] == "tanh":
        cubic = _rising(lambda x: math.sqrt(8 / math.pi) * (x + 0.044715 * x**3), x, 8)
        return _rising(torch.sigmoid, cubic, 4)
    scaled = _rising(lambda x: x * math.sqrt(0.5), x, 2)
    return _rising(lambda x: torch.special.erfc(-x) / 2, scaled, 4)


GATES: Final[Mapping[str, Rule]] = {
    "gelu": _gated(_gelu),
    "silu": _gated(lambda x, _: _rising(torch.sigmoid, x, 4)),
    "mish": _gated(lambda x, _: _rising(lambda x: F.softplus(x).tanh(), x, 8)),
    "hardswish": _gated(
        lambda x, _: _rising(lambda x: F.relu6(x) / 6, _rising(lambda x: x + 3, x, 2), 2),
        closes=True,
    ),
}
