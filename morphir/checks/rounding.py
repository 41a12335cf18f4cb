"""Numbers that a change had to round: what they are rounded from is run, and the rest measured.

RUN-6    a number that is a sum of old ones is that sum, computed in float64 and rounded once to
         the stored dtype; with the sums themselves RUN-1 holds, and how far the rounded ones
         move the outputs is reported
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from morphir.checks.calling import Arguments
from morphir.checks.measured import check_on_data
from morphir.ir.report import Check, Grade, counted


def check_rounding(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    stored: Mapping[str, torch.Tensor],
    exact: Mapping[str, torch.Tensor],
) -> Check:
    """Measures what rounding has changed (RUN-6).

    Args:
        before: The old model in float64, private.
        after: The new one.
        inputs: Entry point to arguments.
        stored: The new tensors.
        exact: The sums in float64, for those that had to be rounded.
    """
    gap = 0.0
    for name, numbers in exact.items():
        rounded = stored[name].detach()
        if not torch.equal(numbers.to(rounded.dtype), rounded):
            return Check("rounding", Grade.REFUTED, "RUN-6: this is not the sum, rounded", name)
        gap = max(gap, float((numbers - rounded.double()).abs().max()))
    found = check_on_data(before, after, inputs)
    grade = Grade.TESTED if found.grade is Grade.EMPIRICAL else found.grade
    what = f"{counted(len(exact), 'tensor')} rounded, by at most {gap:.2g}"
    figures = {**found.figures, "rounding": gap}
    summary = f"{what}; {found.summary}"
    return replace(found, name="rounding", grade=grade, summary=summary, figures=figures)


@contextmanager
def holding(model: nn.Module, numbers: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Gives tensors of a model other numbers for a while."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = {name: tensors[name].data for name in numbers}
    try:
        for name, each in numbers.items():
            tensors[name].data = each.clone()
        yield
    finally:
        for name, each in kept.items():
            tensors[name].data = each
