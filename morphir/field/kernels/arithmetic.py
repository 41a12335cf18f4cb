"""Sums, products and quotients, and whether two numbers are equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import torch

from morphir.field.residues import Kernel, Residues, Run

aten = torch.ops.aten
Axes = int | Sequence[int] | None


def add(run: Run, left: Any, right: Any, *, alpha: float = 1) -> Residues:
    """`left + alpha * right`."""
    scaled = run.value(right) * run.number(alpha) % run.field.prime
    return run.wrap((run.value(left) + scaled) % run.field.prime, left, right)


def subtract(run: Run, left: Any, right: Any, *, alpha: float = 1) -> Residues:
    """`left - alpha * right`."""
    return add(run, left, right, alpha=-alpha)


def multiply(run: Run, left: Any, right: Any) -> Residues:
    """`left * right`."""
    return run.wrap(run.value(left) * run.value(right) % run.field.prime, left, right)


def divide(run: Run, left: Any, right: Any, *, rounding_mode: str | None = None) -> Residues:
    """`left / right`; what is divided by 0 is 0."""
    inverse = run.field.inverse(torch.as_tensor(run.value(right)))
    found = run.wrap(run.value(left) * inverse % run.field.prime, left, right)
    return found if rounding_mode is None else getattr(aten, rounding_mode)(found)


def reciprocal(run: Run, tensor: Residues) -> Residues:
    """`1 / x`; of 0 it is 0."""
    return run.wrap(run.field.inverse(tensor.residues), tensor)


def total(
    run: Run, tensor: Residues, axes: Axes = None, keepdim: bool = False, **kwargs: Any
) -> Residues:
    """A sum along axes."""
    found = aten.sum(tensor.residues, axes or None, keepdim)
    return run.wrap(found % run.field.prime, tensor)


def mean(
    run: Run, tensor: Residues, axes: Axes = None, keepdim: bool = False, **kwargs: Any
) -> Residues:
    """A mean along axes."""
    found = total(run, tensor, axes, keepdim)
    return divide(run, found, tensor.numel() // max(1, found.numel()))


def variance_and_mean(
    run: Run,
    tensor: Residues,
    axes: Axes | bool = None,
    unbiased: bool = True,
    keep: bool = False,
    *,
    correction: float | None = None,
    keepdim: bool = False,
) -> tuple[Residues, Residues]:
    """The mean square distance to the mean, and the mean."""
    if isinstance(axes, bool):
        unbiased, axes = axes, None
    along = [*range(tensor.dim())] if axes is None or axes == [] else axes
    keepdim = keep or keepdim
    centred: Any = tensor - mean(run, tensor, along, True)
    found = total(run, centred * centred, along, keepdim)
    count = tensor.numel() // max(1, found.numel())
    less = unbiased if correction is None else correction
    return divide(run, found, count - less), mean(run, tensor, along, keepdim)


def variance(run: Run, tensor: Residues, *args: Any, **kwargs: Any) -> Residues:
    """The mean square distance to the mean."""
    return variance_and_mean(run, tensor, *args, **kwargs)[0]


def running_total(run: Run, tensor: Residues, axis: int, **kwargs: Any) -> Residues:
    """The sums of all beginnings."""
    return run.wrap(tensor.residues.cumsum(axis) % run.field.prime, tensor)


def product(
    run: Run, tensor: Residues, axis: int | None = None, keepdim: bool = False, **kwargs: Any
) -> Residues:
    """A product along an axis."""
    rows = tensor.residues.reshape(-1) if axis is None else tensor.residues.movedim(axis, 0)
    found = torch.ones_like(rows[0])
    for row in rows:
        found = found * row % run.field.prime
    kept = keepdim and axis is not None
    return run.wrap(found.unsqueeze(axis or 0) if kept else found, tensor)


def running_product(run: Run, tensor: Residues, axis: int, **kwargs: Any) -> Residues:
    """The products of all beginnings."""
    found = tensor.residues.clone()
    for before, row in pairwise(found.unbind(axis)):
        row.copy_(before * row % run.field.prime)
    return run.wrap(found, tensor)


def power(run: Run, base: Any, exponent: Any) -> Residues:
    """A power: exact for whole exponents and halves of them, else a keyed function."""
    if isinstance(exponent, int | float) and isinstance(base, Residues):
        whole = int(abs(exponent))
        if whole == abs(exponent):
            found = run.field.power(base.residues, whole)
            return run.wrap(found if exponent >= 0 else run.field.inverse(found), base)
        if whole + 0.5 == abs(exponent):
            root: Any = aten.sqrt(base)
            found = root if whole == 0 else root * power(run, base, whole)
            return found if exponent > 0 else reciprocal(run, found)
    both = [torch.as_tensor(run.value(each)) for each in (base, exponent)]
    return run.wrap(run.functions.value("pow", *both), base, exponent)


def _equality(is_equal: bool) -> Kernel:
    def compared(run: Run, left: Any, right: Any) -> torch.Tensor:
        same: torch.Tensor = run.value(left) == run.value(right)
        return same if is_equal else ~same

    return compared


def _constant(answer: bool) -> Callable[[Run, Residues], torch.Tensor]:
    def answered(run: Run, tensor: Residues) -> torch.Tensor:
        return torch.full_like(tensor.residues, answer, dtype=torch.bool)

    return answered


COMPUTED: Final[Mapping[str, Kernel]] = {
    "add": add,
    "sub": subtract,
    "rsub": lambda run, left, right, *, alpha=1: subtract(run, right, left, alpha=alpha),
    "mul": multiply,
    "div": divide,
    "neg": lambda run, tensor: run.wrap(-tensor.residues % run.field.prime, tensor),
    "reciprocal": reciprocal,
    "square": lambda run, tensor: multiply(run, tensor, tensor),
    "sum": total,
    "mean": mean,
    "var": variance,
    "std": lambda run, *args, **kwargs: aten.sqrt(variance(run, *args, **kwargs)),
    "var_mean": variance_and_mean,
    "cumsum": running_total,
    "cumprod": running_product,
    "prod": product,
    "pow": power,
    "eq": _equality(True),
    "ne": _equality(False),
    "isfinite": _constant(True),
    "isnan": _constant(False),
    "isinf": _constant(False),
}
