"""Elementwise functions of one operand that are no activations."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch

from morphir.ops.base import Op
from morphir.ops.bounds import monotone, same, within
from morphir.ops.declare import LINEAR, MAP, everywhere, unary, with_arguments
from morphir.ops.interval import ANYTHING, NON_NEGATIVE, Interval

_T: Any = torch.Tensor
_HALF_PI = 1.5707963267948968


def _whole(rounding: Callable[[float], int]) -> Callable[[float], float]:
    return lambda x: x if math.isinf(x) else float(rounding(x))


OPS = (
    unary(
        "neg",
        _T.__neg__,
        operator.neg,
        *everywhere("negative"),
        axes=LINEAR,
        bounds=lambda a, of: -of(a["input"]),
        keeps_zero=True,
    ),
    unary(
        "abs",
        _T.__abs__,
        *everywhere("absolute"),
        operator.abs,
        bounds=lambda a, of: abs(of(a["input"])),
        identity_on=lambda _: NON_NEGATIVE,
        keeps_zero=True,
    ),
    unary(
        "square",
        bounds=lambda a, of: (of(a["input"]) * of(a["input"])).meet(NON_NEGATIVE),
        keeps_zero=True,
    ),
    unary("sqrt", bounds=monotone(math.sqrt, 0.0), keeps_zero=True),
    unary("rsqrt", bounds=within(0.0, math.inf)),
    unary("reciprocal", bounds=lambda a, of: of(a["input"]).reciprocal()),
    unary("exp", bounds=monotone(math.exp, 0.0)),
    unary("exp2", bounds=within(0.0, math.inf)),
    unary("expm1", bounds=monotone(math.expm1, -1.0), keeps_zero=True),
    unary("log", bounds=monotone(math.log)),
    unary("log2", bounds=monotone(math.log2)),
    unary("log10", bounds=monotone(math.log10)),
    unary("log1p", bounds=monotone(math.log1p), keeps_zero=True),
    unary("sin", bounds=within(-1.0, 1.0), keeps_zero=True),
    unary("cos", bounds=within(-1.0, 1.0)),
    unary("tan", keeps_zero=True),
    unary("asin", *everywhere("arcsin"), keeps_zero=True),
    unary("acos", *everywhere("arccos"), bounds=within(0.0, 3.1415926535897936)),
    unary("atan", *everywhere("arctan"), bounds=within(-_HALF_PI, _HALF_PI), keeps_zero=True),
    unary("sinh", keeps_zero=True),
    unary("cosh", bounds=within(1.0, math.inf)),
    unary("asinh", *everywhere("arcsinh"), keeps_zero=True),
    unary("atanh", *everywhere("arctanh"), keeps_zero=True),
    unary("erf", torch.special.erf, bounds=monotone(math.erf, -1.0, 1.0), keeps_zero=True),
    unary("erfinv", torch.special.erfinv, keeps_zero=True),
    unary("lgamma", torch.special.gammaln),
    unary("digamma", torch.special.digamma, torch.special.psi),
    unary("logit", torch.special.logit, parameters="input, eps=None"),
    unary("frac", bounds=within(-1.0, 1.0), keeps_zero=True),
    unary(
        "sign", bounds=lambda a, of: of(a["input"]).sign.meet(Interval(-1.0, 1.0)), keeps_zero=True
    ),
    unary("sgn", keeps_zero=True),
    unary("floor", bounds=lambda a, of: of(a["input"]).map(_whole(math.floor)), keeps_zero=True),
    unary("ceil", bounds=lambda a, of: of(a["input"]).map(_whole(math.ceil)), keeps_zero=True),
    unary(
        "round",
        parameters="input, decimals=0",
        bounds=lambda a, of: of(a["input"]).sign,
        keeps_zero=True,
    ),
    unary("trunc", *everywhere("fix"), bounds=lambda a, of: of(a["input"]).sign, keeps_zero=True),
    unary(
        "positive",
        _T.__pos__,
        operator.pos,
        axes=LINEAR,
        bounds=same,
        identity_on=lambda _: ANYTHING,
        keeps_zero=True,
    ),
    Op(
        name="nan_to_num",
        parameters="input, nan=None, posinf=None, neginf=None",
        run=torch.nan_to_num,
        spellings=everywhere("nan_to_num"),
        axes=MAP,
        bounds=same,
        identity_on=lambda _: ANYTHING,
        keeps_zero=True,
        samples=with_arguments({"nan": 1.0}),
    ),
    unary("isnan", bounds=within(0.0, 1.0)),
    unary("isinf", bounds=within(0.0, 1.0)),
    unary("isfinite", bounds=within(0.0, 1.0)),
    unary("logical_not", bounds=within(0.0, 1.0)),
)
