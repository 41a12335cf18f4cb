"""Functions that are no sums and products: keyed functions of FIELD-2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch

from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten

# Those that are 0 at 0, those that are 1, and those that have no rational value there.
_ZERO: Final = (
    "asin", "asinh", "atan", "atanh", "ceil", "celu", "elu", "erf", "erfinv", "expm1", "floor",
    "frac", "hardshrink", "log1p", "round", "selu", "sin", "sinh", "softshrink", "sqrt", "tan",
    "tanh", "trunc",
)  # fmt: skip
_ONE: Final = ("cos", "cosh", "erfc", "exp2")
_OTHER: Final = ("acos", "acosh", "digamma", "lgamma", "log", "log10", "log2", "softplus")
_AT_ZERO: Final[Mapping[str, float | None]] = {
    **dict.fromkeys(_ZERO, 0.0),
    **dict.fromkeys(_ONE, 1.0),
    "sigmoid": 0.5,
    **dict.fromkeys(_OTHER),
}


def _function(name: str, at_zero: float | None) -> Kernel:
    def applied(run: Run, tensor: Residues, *args: Any, **kwargs: Any) -> Residues:
        settings = " ".join(map(repr, (*args, *sorted(kwargs.items()))))
        found = run.functions.value(f"{name} {settings}", tensor.residues)
        if at_zero is not None:
            found = torch.where(tensor.residues == 0, run.number(at_zero), found)
        return run.wrap(found, tensor)

    return applied


def exp(run: Run, tensor: Residues) -> Residues:
    """The exponential function, which is 0 where a mask has minus infinity."""
    found = _function("exp", 1.0)(run, tensor).residues
    masked = tensor.residues == run.number(-math.inf)
    return run.wrap(torch.where(masked, 0, found), tensor)


def gelu(run: Run, tensor: Residues, *, approximate: str = "none") -> Any:
    """`x` times a function of it."""
    return tensor * _function(f"gelu {approximate}", 0.5)(run, tensor)


def silu(run: Run, tensor: Residues) -> Any:
    """`x * sigmoid(x)`."""
    return tensor * aten.sigmoid(tensor)


def mish(run: Run, tensor: Residues) -> Any:
    """`x * tanh(softplus(x))`."""
    return tensor * aten.tanh(aten.softplus(tensor))


def log_sigmoid(run: Run, tensor: Residues) -> Any:
    """The logarithm of the sigmoid, with what torch keeps for its gradient."""
    return aten.log(aten.sigmoid(tensor)), tensor


def x_log_y(run: Run, left: Any, right: Any) -> Any:
    """`x * log(y)`, which is 0 where x is."""
    return left * aten.log(right)


def _function_of_two(name: str) -> Kernel:
    def applied(run: Run, left: Any, right: Any) -> Residues:
        both = [torch.as_tensor(run.value(each)) for each in (left, right)]
        return run.wrap(run.functions.value(name, *both), left, right)

    return applied


COMPUTED: Final[Mapping[str, Kernel]] = {
    **{name: _function(name, at_zero) for name, at_zero in _AT_ZERO.items()},
    "exp": exp,
    "rsqrt": lambda run, tensor: aten.reciprocal(aten.sqrt(tensor)),
    "gelu": gelu,
    "silu": silu,
    "mish": mish,
    "xlogy": x_log_y,
    "log_sigmoid_forward": log_sigmoid,
    **{name: _function_of_two(name) for name in ("atan2", "hypot", "fmod", "remainder")},
}
