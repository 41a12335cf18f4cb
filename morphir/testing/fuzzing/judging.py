"""Holds the verdict on one application against evidence of another kind.

FUZZ-1  what was proved agrees with runs, gradients and moments that are computed here, and
        with `morphir.verify`; which of the two is wrong where they contradict each other is
        said by the kind of the finding
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

from torch import nn
from torch.optim import Optimizer

from morphir.grading import unexercised
from morphir.ir import Certificate, Grade, Report
from morphir.result import TransformResult
from morphir.testing.failures import Case
from morphir.testing.fuzzing.carrying import holds, state_difference
from morphir.testing.fuzzing.evidence import Feed, gradient_difference, output_difference
from morphir.testing.fuzzing.findings import (
    ALARM,
    GRADIENTS,
    MOMENTS,
    OPTIMIZER,
    WRONG,
    FoundError,
    crash,
    objections,
)
from morphir.testing.fuzzing.renewing import renewal_difference
from morphir.testing.fuzzing.requests import BOX
from morphir.testing.preserving import untold_checks
from morphir.verify import verify

_COMPARED: Final = (Grade.PROVED, Grade.PROVED_ON_BOX, Grade.TESTED)


@final
@dataclass(frozen=True, eq=False)
class Applied:
    """What a pass was applied to, and what came of it.

    Attributes:
        request: The name by which it was asked for.
        case: The pass, and a copy of the model from before.
        moments: The state of the optimizer before, by parameter.
        result: What came of it.
        feed: From a seed to inputs for the model as it was and as it is.
        train: Takes some steps of training.
    """

    request: str
    case: Case
    moments: Mapping[str, Mapping[str, Any]]
    result: TransformResult
    feed: Feed
    train: Callable[[nn.Module, Optimizer], None]

    @property
    def certificate(self) -> Certificate:
        """What was left for the checker."""
        return self.result.certificate

    def found(self, kind: str, what: str) -> FoundError:
        """A finding about this application."""
        return FoundError(kind, f"{self.request}: {what}", f"{self.case.pass_.describe()}: {what}",
                          self.case)  # fmt: skip


def judge(applied: Applied, checks: Sequence[str]) -> None:
    """Looks at an application.

    Args:
        applied: The application.
        checks: The checks of `morphir.verify` to run as well.

    Raises:
        FoundError: Something is not as it should be.
    """
    result, certificate = applied.result, applied.certificate
    if result.report.grade in _COMPARED:
        _compare(applied, checks)
    wrong = holds(result.module, result.optimizer)
    if wrong:
        raise applied.found(OPTIMIZER, wrong)
    if not certificate.steps:
        wrong = state_difference(applied.moments, result.module, result.optimizer, certificate)
        wrong = wrong or renewal_difference(
            (applied.case.module, applied.moments), (result.module, result.optimizer), certificate
        )
        if wrong:
            raise applied.found(MOMENTS, wrong)
    model, optimizer = copy.deepcopy((result.module, result.optimizer))
    try:
        applied.train(model, optimizer)
    except Exception as error:
        about = f"training after {applied.case.pass_.describe()}"
        raise crash(error, about, applied.case) from error


def _compare(applied: Applied, checks: Sequence[str]) -> None:
    old, new, grade = applied.case.module, applied.result.module, applied.result.report.grade
    feed = _bounded(applied.feed) if grade is Grade.PROVED_ON_BOX else applied.feed
    wrong = output_difference(old, new, feed, grade)
    if wrong:
        raise applied.found(WRONG, f"{grade}, but {wrong}")
    if grade is not Grade.PROVED:
        return
    tensors = applied.certificate.tensors
    if not applied.certificate.steps and not applied.certificate.is_inverse:
        wrong = gradient_difference(old, new, feed, tensors)
        if wrong:
            raise applied.found(GRADIENTS, wrong)
    report, least = _verified(applied, checks), _least(applied, checks)
    if report is None or (least is Grade.TESTED and unexercised(report.checks)):
        return
    if report.grade.rank > least.rank:
        raise applied.found(ALARM, f"{grade}, and {report.grade} again: {objections(report)}")


def _verified(applied: Applied, checks: Sequence[str]) -> Report | None:
    """What `morphir.verify` finds, on a copy that the pass has never seen."""
    certificate = applied.certificate
    if certificate.steps:  # nobody says how axes changed from the first model to the last
        untold = (*untold_checks(applied.result), "state_dict")
        checks = [name for name in checks if name in untold]
    if not checks or any(step.inputs or step.outputs for step in certificate.steps):
        return None
    return verify(
        applied.case.module,
        applied.result.module,
        example_inputs=applied.case.example_inputs,
        entry_points=applied.case.entry_points,
        certificate=None if certificate.steps else certificate,
        checks=checks,
    )


def _least(applied: Applied, checks: Sequence[str]) -> Grade:
    """What the checks should find: a proof if they prove, at least a test if they run both."""
    if "certificate" in checks and not applied.certificate.steps:
        return Grade.PROVED
    return Grade.TESTED if {*checks} & {"field", "float64"} else Grade.UNKNOWN


def _bounded(feed: Feed) -> Feed:
    """Inputs within the bounds that a pass was told."""

    def bounded(seed: int) -> Any:
        low, high = BOX
        scale = 1 / 30  # the comparison takes them up to thirty times as large
        return tuple(
            {
                name: tuple(
                    x.clamp(low, high) * scale if x.is_floating_point() else x for x in given
                )
                for name, given in each.items()
            }
            for each in feed(seed)
        )

    return bounded
