"""Runs both models in the stored dtype and compares what they return.

RUN-2   in the stored dtype, on the given inputs, the new model is at most twice as far from the
        float64 result as the old one (three times for 16-bit types), or as the rounding of the
        result, times what the shares of copies add up to in size and the square root of how many
        there are; of n numbers exp(6 / sqrt(n)) times as far, up to ten times in all; where there
        is no better result, it returns the same bits, or in float64 numbers as close as RUN-1
        wants them
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import nn

from morphir.checks.calling import Arguments, Observation, observe
from morphir.checks.comparison import Findings, distance, numbers_in, rms
from morphir.checks.counterexample import written
from morphir.checks.differential import TOLERANCE
from morphir.checks.extended import Extended
from morphir.ir.report import Check, Grade, counted
from morphir.tensors import real_parts

_MULTIPLE: Final = 2.0
_MULTIPLE_OF_SHORT: Final = 3.0
_MULTIPLE_OF_FEW: Final = 10.0
_DEVIATIONS: Final = 6.0
_DOUBLE: Final = (torch.float64, torch.complex128)
_SAME: Final = Extended()


def check_native(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    reference: nn.Module | None = None,
    extended: Extended = _SAME,
    growth: float = 1.0,
) -> Check:
    """Checks RUN-2, and says whether the new model returns the same bits.

    Args:
        before: A private copy of the old model, in the stored dtype.
        after: One of the new model.
        inputs: Entry point to arguments of the old one.
        reference: A float64 copy of the old model, to tell which of two results is the better one.
        extended: The inputs and outputs of the new one that are longer (RUN-5).
        growth: How many times as much may be rounded, as `AxisMap.growth` says it of copies.
    """
    longer = extended.inputs_of(after, inputs)
    old, new = (
        extended.of(observe(model.eval(), given))
        for model, given in ((before, inputs), (after, longer))
    )
    found = _compare_native(old, new)
    figures = {"inputs": float(found.inputs), "worst": found.worst}
    if found.is_exact and not found.inputs:
        failed = [f"{name}: {what}" for name, what in old.failures.items()]
        why = failed[0] if failed else "no output is finite"
        return Check("native", Grade.UNKNOWN, f"nothing could be compared: {why}", "", figures)
    if found.is_exact:
        summary = f"the same bits on {counted(found.inputs, 'input')}"
        return Check("native", Grade.TESTED, summary, "", figures)
    exact = None
    if reference is not None:
        exact = extended.of(observe(reference, inputs, in_double=True))
    for name, result in old.results.items():
        lifted = None if exact is None else exact.results.get(name)
        complaint = _complaint(result, new.results.get(name), lifted, growth)
        if complaint is None:
            summary = "other bits, and no better result to say whether they are worse"
            return Check("native", Grade.UNKNOWN, summary, found.where, figures)
        if complaint:
            given = inputs[name]
            example = written(given)
            return Check("native", Grade.REFUTED, complaint, found.where, figures, example, given)
    inputs_in_words = counted(found.inputs, "input")
    summary = f"other bits (worst {found.worst:.1e}), no less accurate on {inputs_in_words}"
    return Check("native", Grade.TESTED, summary, "", figures)


def _compare_native(old: Observation, new: Observation) -> Findings:
    found = Findings()
    for name, result in old.results.items():
        if name in new.failures:
            found.found(float("inf"), f"{name}: only the new model raises {new.failures[name]}")
        else:
            found.add(name, result, new.results[name])
    return found


def _complaint(old: Any, new: Any, reference: Any, growth: float) -> str | None:
    """What is wrong with the new numbers, "" if nothing, None if that can't be told."""
    was, now, exact = numbers_in(old), numbers_in(new), numbers_in(reference)
    if was.keys() != now.keys():
        return "another structure is returned"
    for path, tensor in was.items():
        other, true = now[path], exact.get(path)
        if torch.equal(tensor, other):
            continue
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            return f"output {path!r} has another type"
        if not (tensor.is_floating_point() or tensor.is_complex()):
            return f"output {path!r} differs, and holds no fractions"
        if tensor.dtype in _DOUBLE:  # no better result says which of two is the worse one
            if distance(tensor, other) > TOLERANCE:
                return None
            continue
        if true is None or true.shape != tensor.shape:
            return None
        tensor, other, true = map(real_parts, (tensor, other, true))
        error, own = rms(other.double() - true), rms(tensor.double() - true)
        rounding = torch.finfo(tensor.dtype).eps * rms(true)
        limit = _multiple(tensor) * growth * max(own, rounding)
        if not error <= limit or not bool((tensor.isfinite() <= other.isfinite()).all()):
            return f"output {path!r} is {error:.1e} from its float64 result, the old one {own:.1e}"
    return ""


def _multiple(tensor: torch.Tensor) -> float:
    """How many times as far off the new numbers may be.

    Of n independent errors that are alike, the logarithm of the quotient of two root mean squares
    deviates by 1 / sqrt(n); those of one output are related, hence six deviations.
    """
    short = tensor.dtype in (torch.float16, torch.bfloat16)
    least = _MULTIPLE_OF_SHORT if short else _MULTIPLE
    return min(_MULTIPLE_OF_FEW, least * math.exp(_DEVIATIONS / math.sqrt(tensor.numel())))
