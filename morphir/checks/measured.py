"""How far two models differ on data: for a change that does not claim to keep the function.

RUN-3    on the data given, no output differs by more than the bound that is reported
RUN-10   a change that is meant to change the function says by how much it does on the inputs given
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import nn

from morphir.checks.calling import Arguments, observe
from morphir.ir.report import Check, Grade, counted
from morphir.tensors import map_tensors, tensors_in

_RELATIVE: Final = 1e-12  # as in RUN-1


def check_on_data(before: nn.Module, after: nn.Module, data: Mapping[str, Arguments]) -> Check:
    """Measures the worst difference of any output (RUN-3).

    Args:
        before: The old model in float64, private.
        after: The new one.
        data: Entry point to arguments.
    """
    old, new = (observe(model, data, in_double=True) for model in (before, after))
    failures = {**old.failures, **new.failures}
    if failures:
        name, error = next(iter(failures.items()))
        return Check("data", Grade.UNKNOWN, f"nothing could be measured: {name}: {error}", name)
    worst = largest = 0.0
    rows, where = 0, ""
    for name in old.results:
        sides = ([t for _, t in tensors_in(each.results[name])] for each in (old, new))
        for one, other in zip(*sides, strict=True):
            if one.shape != other.shape or one.dtype != other.dtype:
                return Check("data", Grade.REFUTED, "an output has another shape or dtype", name)
            if not one.is_floating_point():
                continue
            rows = max(rows, len(one) if one.dim() else 1)
            gap = float((one - other).abs().max()) if one.numel() else 0.0
            if not gap <= worst:  # NaN too
                worst, where = gap, name
            largest = max(largest, float(one.abs().max()) if one.numel() else 0.0)
    if not math.isfinite(worst + largest):
        return Check("data", Grade.UNKNOWN, "an output is not finite", where)
    share = f", {worst / largest:.2g} of the largest output" if largest else ""
    summary = f"no output differs by more than {worst:.2g}{share}, on {counted(rows, 'row')}"
    return Check("data", Grade.EMPIRICAL, summary, "", {"bound": worst, "largest output": largest})


def check_drift(before: nn.Module, after: nn.Module, inputs: Mapping[str, Arguments]) -> Check:
    """Measures a change of the function that is meant (RUN-10).

    Args:
        before: The old model in float64, private.
        after: The new one.
        inputs: Entry point to arguments.
    """
    found = check_on_data(before, after, inputs)
    grade = Grade.NOT_PRESERVING if found.grade is Grade.EMPIRICAL else found.grade
    return replace(found, name="drift", grade=grade)


def check_within(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    bounds: Mapping[str, Sequence[tuple[float, float]]],
) -> Check:
    """Runs two models in float64 on inputs that are brought within bounds (RUN-4).

    Args:
        before: The old model in float64, private.
        after: The new one.
        inputs: Entry point to arguments.
        bounds: Entry point to the bounds of its tensors, in order.
    """
    clamped = {
        name: _clamped(arguments, iter(bounds.get(name, ()))) for name, arguments in inputs.items()
    }
    found = check_on_data(before, after, clamped)
    if found.grade is not Grade.EMPIRICAL:
        return replace(found, name="float64")
    is_same = found.figures["bound"] <= _RELATIVE * found.figures["largest output"]
    grade = Grade.TESTED if is_same else Grade.REFUTED
    return replace(found, name="float64", grade=grade, summary=f"within the bounds {found.summary}")


def _clamped(arguments: Arguments, bounds: Iterator[tuple[float, float]]) -> Arguments:
    def clamp(tensor: torch.Tensor) -> torch.Tensor:
        low, high = next(bounds, (-math.inf, math.inf))
        return tensor.clamp(low, high) if tensor.is_floating_point() else tensor

    found: Arguments = map_tensors(arguments, clamp)
    return found
