"""Activations: the smooth ones, whose bounds come from their extrema.

gelu      x * Phi(x)                 minimum -0.169971... (its tanh form: -0.170040...)
silu      x * sigmoid(x)             minimum -0.278464...
mish      x * tanh(softplus(x))      minimum -0.308843...
hardswish x * relu6(x + 3) / 6       minimum -3/8
selu      scale * elu(x, alpha)      infimum -scale * alpha = -1.758099...
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.base import Op, Spelling
from morphir.ops.bounds import BoundsRule, Reader, monotone
from morphir.ops.declare import MAP, everywhere, unary, with_arguments
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_INPLACE = "input, -inplace=False"


def _gate(minimum: float) -> BoundsRule:
    """x times a gate between 0 and 1: at least the minimum or x, and at most x or 0."""

    def rule(a: Mapping[str, Argument], of: Reader) -> Interval:
        x = of(a["input"])
        return Interval(0.0 if x.low >= 0 else max(minimum, x.low), max(x.high, 0.0))

    return rule


def _softplus_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    """max(x, 0) <= softplus(x) <= max(x, 0) + ln 2 / beta, and x above the threshold."""
    x, beta = of(a["input"]).map(lambda x: max(x, 0.0)), of(a["beta"])
    if beta.low <= 0:
        return ANYTHING
    return Interval(x.low, (x + Interval(0.0, 0.6931471805599454) / beta).high)


def _elu_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x, alpha = of(a["input"]), of(a["alpha"])
    if alpha.low < 0:
        return ANYTHING
    high = 0.0 if x.high <= 0 else x.high
    return Interval(x.low, high) if x.low >= 0 else Interval(-alpha.high, high)


def _selu_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x = of(a["input"])
    scaled = x * Interval(1.0507009873554803, 1.0507009873554807)
    return Interval(scaled.low if x.low >= 0 else -1.7581, max(scaled.high, 0.0))


def _positive(a: Mapping[str, Argument]) -> Interval:
    return NON_NEGATIVE


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


OPS = (
    unary("sigmoid", torch.special.expit, bounds=monotone(_sigmoid, 0.0, 1.0), module=nn.Sigmoid),
    unary("tanh", bounds=monotone(math.tanh, -1.0, 1.0), keeps_zero=True, module=nn.Tanh),
    unary(
        "logsigmoid",
        run=F.logsigmoid,
        bounds=lambda a, of: Interval(high=min(0.0, of(a["input"]).high)),
        module=nn.LogSigmoid,
    ),
    unary(
        "softsign",
        run=F.softsign,
        bounds=monotone(lambda x: x / (1 + abs(x)), -1.0, 1.0),
        keeps_zero=True,
        module=nn.Softsign,
    ),
    unary(
        "tanhshrink",
        run=F.tanhshrink,
        bounds=lambda a, of: of(a["input"]).sign,
        keeps_zero=True,
        module=nn.Tanhshrink,
    ),
    unary(
        "hardswish",
        functional=_INPLACE,
        run=F.hardswish,
        bounds=_gate(-0.375),
        keeps_zero=True,
        module=nn.Hardswish,
    ),
    unary(
        "silu",
        functional=_INPLACE,
        run=F.silu,
        bounds=_gate(-0.2784646),
        keeps_zero=True,
        module=nn.SiLU,
    ),
    unary(
        "mish",
        functional=_INPLACE,
        run=F.mish,
        bounds=_gate(-0.3088438),
        keeps_zero=True,
        module=nn.Mish,
    ),
    Op(
        name="gelu",
        parameters="input, approximate='none'",
        run=F.gelu,
        spellings=everywhere("gelu", "input, *, approximate='none'"),
        axes=MAP,
        bounds=_gate(-0.1700408),
        keeps_zero=True,
        module=nn.GELU,
        samples=with_arguments({"approximate": "tanh"}),
    ),
    Op(
        name="softplus",
        parameters="input, beta=1.0, threshold=20.0",
        run=F.softplus,
        spellings=everywhere("softplus"),
        axes=MAP,
        bounds=_softplus_bounds,
        module=nn.Softplus,
        samples=with_arguments({"beta": 3.0}, {"beta": 0.5, "threshold": 1.0}),
    ),
    Op(
        name="elu",
        parameters="input, alpha=1.0",
        run=F.elu,
        spellings=(Spelling(F.elu, "input, alpha=1.0, -inplace=False"),),
        axes=MAP,
        bounds=_elu_bounds,
        identity_on=_positive,
        keeps_zero=True,
        module=nn.ELU,
        samples=with_arguments({"alpha": 0.3}),
    ),
    Op(
        name="celu",
        parameters="input, alpha=1.0",
        run=torch.celu,
        spellings=everywhere("celu", functional="input, alpha=1.0, -inplace=False"),
        axes=MAP,
        bounds=_elu_bounds,
        identity_on=_positive,
        keeps_zero=True,
        module=nn.CELU,
        samples=with_arguments({"alpha": 0.3}),
    ),
    unary("selu", functional=_INPLACE, bounds=_selu_bounds, keeps_zero=True, module=nn.SELU),
)
