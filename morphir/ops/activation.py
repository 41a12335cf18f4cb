"""Activations: the ReLU family and other piecewise linear ones."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional as F

from morphir.ir.graph import Argument
from morphir.ops.base import Instance, Op, Spelling
from morphir.ops.bounds import Reader, with_zero, within
from morphir.ops.declare import MAP, everywhere, samples, unary, with_arguments
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_INPLACE = "input, -inplace=False"


def _clamp_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    bounds = of(a["input"])
    if low is not None:
        floor = of(low)
        bounds = Interval(max(bounds.low, floor.low), max(bounds.high, floor.high))
    if high is not None:
        ceiling = of(high)
        bounds = Interval(min(bounds.low, ceiling.low), min(bounds.high, ceiling.high))
    return bounds


def _clamp_identity(a: Mapping[str, Argument]) -> Interval | None:
    low, high = a.get("min", a.get("min_val")), a.get("max", a.get("max_val"))
    if not all(bound is None or type(bound) in (int, float) for bound in (low, high)):
        return None
    found = Interval(
        ANYTHING.low if low is None else float(low), ANYTHING.high if high is None else float(high)
    )
    return found if found.low <= found.high else None


def _leaky_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x, slope = of(a["input"]), of(a["negative_slope"])
    below = x.meet(Interval(high=0.0)) * slope if x.low < 0 else None
    above = x.meet(NON_NEGATIVE) if x.high >= 0 else None
    return below.hull(above) if below and above else below or above or ANYTHING


def _rrelu_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    slope = of(a["lower"]).hull(of(a["upper"]))
    return _leaky_bounds(
        {"input": a["input"], "negative_slope": "slope"}, lambda x: slope if x == "slope" else of(x)
    )


def _threshold_bounds(a: Mapping[str, Argument], of: Reader) -> Interval:
    x, threshold, value = of(a["input"]), of(a["threshold"]), of(a["value"])
    if x.high <= threshold.low:
        return value
    return Interval(max(x.low, threshold.low), x.high).hull(value)


def _threshold_identity(a: Mapping[str, Argument]) -> Interval | None:
    """Where x > threshold in every dtype, or where x is zero and stays zero.

    Rounded to x's dtype a threshold just below zero may become zero, which x = 0 does not pass.
    """
    threshold, value = a["threshold"], a["value"]
    if type(threshold) not in (int, float) or type(value) not in (int, float):
        return None
    return NON_NEGATIVE if threshold < -1e-3 or threshold <= 0 == value else None


def _prelu_axes(instance: Instance) -> str:
    single = instance.shapes[1] in ((), (1,))
    return "..., S -> ..." if single else "b c ..., c -> b c ..."


OPS = (
    unary(
        "relu",
        functional=_INPLACE,
        bounds=lambda a, of: of(a["input"]).map(lambda x: max(x, 0.0)),
        identity_on=lambda _: NON_NEGATIVE,
        keeps_zero=True,
        module=nn.ReLU,
    ),
    unary(
        "relu6",
        functional=_INPLACE,
        run=F.relu6,
        bounds=lambda a, of: of(a["input"]).map(lambda x: min(max(x, 0.0), 6.0)),
        identity_on=lambda _: Interval(0.0, 6.0),
        keeps_zero=True,
        module=nn.ReLU6,
    ),
    Op(
        name="leaky_relu",
        parameters="input, negative_slope=0.01",
        run=F.leaky_relu,
        spellings=(Spelling(F.leaky_relu, "input, negative_slope=0.01, -inplace=False"),),
        axes=MAP,
        bounds=_leaky_bounds,
        identity_on=lambda _: NON_NEGATIVE,
        keeps_zero=True,
        module=nn.LeakyReLU,
        samples=with_arguments({"negative_slope": 0.2}, {"negative_slope": -0.5}),
    ),
    Op(
        name="rrelu",
        parameters="input, lower=0.125, upper=0.3333333333333333, training=False",
        run=F.rrelu,
        spellings=(
            Spelling(
                F.rrelu,
                "input, lower=0.125, upper=0.3333333333333333, training=False, -inplace=False",
            ),
            Spelling(
                torch.rrelu,
                "input, lower=0.125, upper=0.3333333333333333, training=False, !generator=None",
            ),
        ),
        axes=MAP,
        bounds=_rrelu_bounds,
        identity_on=lambda _: NON_NEGATIVE,
        keeps_zero=True,
        samples=with_arguments({"lower": 0.1, "upper": 0.2}),
    ),
    Op(
        name="prelu",
        parameters="input, weight",
        run=torch.prelu,
        spellings=everywhere("prelu"),
        axes=_prelu_axes,
        identity_on=lambda _: NON_NEGATIVE,
        keeps_zero=True,
        samples=samples(
            lambda draw: (
                {"input": draw(3, 4), "weight": draw(4)},
                {"input": draw(2, 3, 4), "weight": draw(3)},
                {"input": draw(2, 3, 4), "weight": draw(1)},
                {"input": draw(4), "weight": draw(1)},
            )
        ),
    ),
    Op(
        name="hardtanh",
        parameters="input, min_val=-1.0, max_val=1.0",
        run=F.hardtanh,
        spellings=(Spelling(F.hardtanh, "input, min_val=-1.0, max_val=1.0, -inplace=False"),),
        axes=MAP,
        bounds=_clamp_bounds,
        identity_on=_clamp_identity,
        module=nn.Hardtanh,
        samples=with_arguments({"min_val": 0.0, "max_val": 2.0}, {"min_val": -2, "max_val": -1}),
    ),
    Op(
        name="threshold",
        parameters="input, threshold, value",
        run=F.threshold,
        spellings=(
            Spelling(F.threshold, "input, threshold, value, -inplace=False"),
            torch.threshold,
        ),
        axes=MAP,
        bounds=_threshold_bounds,
        identity_on=_threshold_identity,
        module=nn.Threshold,
        samples=samples(
            lambda draw: (
                {"input": draw(3, 4), "threshold": threshold, "value": value}
                for threshold, value in ((0.0, 0.0), (-1.0, 5.0), (0.5, -1.0), (0, 0))
            )
        ),
    ),
    unary(
        "hardsigmoid",
        functional=_INPLACE,
        bounds=within(0.0, 1.0),
        run=F.hardsigmoid,
        module=nn.Hardsigmoid,
    ),
    Op(
        name="hardshrink",
        parameters="input, lambd=0.5",
        run=F.hardshrink,
        spellings=everywhere("hardshrink"),
        axes=MAP,
        bounds=with_zero,
        keeps_zero=True,
        module=nn.Hardshrink,
        samples=with_arguments({"lambd": 1.5}),
    ),
    Op(
        name="softshrink",
        parameters="input, lambd=0.5",
        run=F.softshrink,
        spellings=everywhere("softshrink"),
        axes=MAP,
        bounds=with_zero,
        keeps_zero=True,
        module=nn.Softshrink,
        samples=with_arguments({"lambd": 1.5}),
    ),
    Op(
        name="clamp",
        parameters="input, min=None, max=None",
        run=torch.clamp,
        spellings=(
            *everywhere("clamp"),
            *everywhere("clip"),
            *everywhere("clamp_min", "input, min"),
            *everywhere("clamp_max", "input, max"),
        ),
        axes=MAP,
        bounds=_clamp_bounds,
        identity_on=_clamp_identity,
        samples=samples(
            lambda draw: (
                {"input": draw(3, 4), "min": -0.5, "max": 0.5},
                {"input": draw(3, 4), "min": 0.0},
                {"input": draw(3, 4), "max": draw(4)},
                {"input": draw(3, 4), "min": draw(3, 1), "max": draw(3, 4)},
            )
        ),
    ),
)
