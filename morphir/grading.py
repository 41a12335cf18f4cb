"""From the outcomes of the checks to one grade."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import nn

from morphir.ir import Check, Grade

_CAN_REFUTE: Final = (
    "float64", "native", "rounding", "kept", "original", "carried", "numbers", "learning",
    "gradients", "statistics", "state_dict", "compile", "onnx",
)  # fmt: skip


def check_finite(*models: nn.Module) -> list[Check]:
    """A check that is `UNKNOWN` if a parameter holds infinities or NaN, else none (GRADE-4)."""
    parameters = [named for model in models for named in model.named_parameters()]
    names = dict.fromkeys(name for name, parameter in parameters if not _is_finite(parameter))
    if not names:
        return []
    first, *others = names
    more = f" and {len(others)} more" if others else ""
    return [Check("finite", Grade.UNKNOWN, f"a parameter is not finite: {first}{more}", first)]


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.element_size() == 1:  # torch can't tell for float8
        return True
    detached = tensor.detach()  # a sum takes a third of the time, but may overflow
    return math.isfinite(detached.sum().item()) or bool(detached.isfinite().all())


def verdict(checks: Sequence[Check]) -> Grade:
    """The grade of an application: any refutation, else the certificate, else the runs (GRADE-1).

    A change that does not claim to keep the function is graded by what was measured (GRADE-2).
    What differs in a field without a fact that explains it is not known to be equal (GRADE-3).
    Where the certificate holds in eval mode only, nothing is known: nothing runs in train mode.
    Nothing is known of weights that are not finite (GRADE-4).
    """
    grades = {check.name: check.grade for check in checks}
    if any(grades.get(name) is Grade.REFUTED for name in _CAN_REFUTE):
        return Grade.REFUTED
    if "finite" in grades:
        return Grade.UNKNOWN
    if "drift" in grades and grades.get("certificate") is Grade.UNKNOWN:
        return grades["drift"]
    if "data" in grades and grades.get("certificate") is Grade.UNKNOWN:
        return grades["data"]
    differs = any("differs" in check.figures for check in checks)
    if grades.get("certificate") in (Grade.PROVED, Grade.PROVED_ON_BOX):
        if differs and not any("facts" in check.figures for check in checks):
            return Grade.UNKNOWN  # two checkers contradict each other: one of them is wrong
        return max(
            grades["certificate"], grades.get("certificate (train)", Grade.PROVED), key=_rank
        )
    # `native` looks at few inputs, and not at what they exercise.
    ran = Grade.TESTED in (grades.get("field"), grades.get("float64"))
    return Grade.TESTED if ran and not differs else Grade.UNKNOWN


def unexercised(checks: Sequence[Check]) -> Check | None:
    """The float64 run, if all that is wrong is that nothing was exercised on its inputs (RUN-1)."""
    found = {check.name: check for check in checks}
    ran = found.get("float64")
    if (
        "finite" in found
        or ran is None
        or ran.grade is not Grade.UNKNOWN
        or not ran.figures.get("inputs")
    ):
        return None
    differs = any("differs" in check.figures for check in checks)
    return ran if verdict(checks) is Grade.UNKNOWN and not differs else None


def _rank(grade: Grade) -> int:
    return grade.rank
