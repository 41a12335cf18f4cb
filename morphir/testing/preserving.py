"""Asserts that a pass keeps the function of a module, with a message that is enough to go on.

TESTING-5   what a pass returns is what `morphir.verify` says is as good as the pass claims, a
            refusal, or an `AssertionError` with the module, the pass, the seed and the place
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.errors import MorphirError, RefusalError, VerificationError
from morphir.grading import unexercised
from morphir.ir import Grade, Report
from morphir.lineage import lineage_of
from morphir.passes import MorphismPass
from morphir.result import TransformResult
from morphir.testing.building import recipe_of
from morphir.testing.failures import Case, PreservationError
from morphir.testing.places import known
from morphir.testing.reproduction import write_reproduction
from morphir.testing.source import to_source
from morphir.transform import transform
from morphir.verify import CHECKS, verify

_EVERYWHERE = (Grade.PROVED, Grade.TESTED)  # claims about inputs of any kind


def assert_preserves(
    pass_: MorphismPass,
    module: nn.Module,
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] | None = None,
    optimizer: Optimizer | None = None,
    seed: int = 0,
    source: str | None = None,
    reproduction: str | Path | None = None,
) -> TransformResult | RefusalError:
    """Applies a pass to a copy of a module with an optimizer, and verifies the result anew.

    The module is not changed. The certificate that the pass leaves is checked against both modules
    recorded again, and both are run: nothing that the application found is believed.

    Args:
        pass_: The pass.
        module: The module.
        example_inputs: As for `morphir.transform`; not needed for modules of this kit.
        entry_points: As for `morphir.transform`; by default those of the recipe, or `forward`.
        optimizer: An optimizer over the module; it is copied with it. By default an Adam that has
            made a step.
        seed: Seed of the state that the optimizer has by default.
        source: Python source with a function `make` that builds the module, for the message; not
            needed for modules of this kit.
        reproduction: A folder to write when the assertion fails, as `write_reproduction` does.

    Returns:
        What `morphir.transform` returns; or the refusal, which is no failure.

    Raises:
        PreservationError: The pass does not keep what it claims to keep, or fails.

    Example:
        >>> from morphir import DeeperPass
        >>> from morphir.testing import Recipe, Step, assert_preserves, build
        >>> net = build(Recipe((Step("linear"), Step("relu"))))
        >>> assert_preserves(DeeperPass(at="relu1"), net).report.grade.name
        'PROVED'
        >>> assert_preserves(DeeperPass(at="head"), net).nodes
        ('head',)
    """
    given, chosen = known(module, example_inputs, entry_points)
    case = Case(pass_, module, given, chosen, seed, source_of(module) if source is None else source)
    try:
        return _preserved(case, optimizer)
    except PreservationError as failure:
        if reproduction is not None:
            try:
                failure.add_note(
                    f"to see it again: python {write_reproduction(failure, reproduction)}"
                )
            except MorphirError as error:
                failure.add_note(f"no reproduction was written: {error}")
        raise


def source_of(module: nn.Module) -> str:
    """Source that builds a module of this kit as it was at first; "" for others."""
    recipe = recipe_of(module)
    return "" if recipe is None else to_source(recipe)


def used_optimizer(module: nn.Module, seed: int) -> Optimizer | None:
    """An Adam that has state for every parameter, while the parameters are as they were.

    Args:
        module: Its parameters; without any there is no optimizer.
        seed: Seed of the gradients that it has seen.
    """
    parameters = [*module.parameters()]
    if not parameters:
        return None
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for parameter in parameters:
        if parameter.requires_grad and parameter.is_floating_point():
            first, second = (torch.randn(parameter.shape, generator=generator) for _ in range(2))
            optimizer.state[parameter] = {
                "step": torch.tensor(1.0),
                "exp_avg": first.to(parameter),
                "exp_avg_sq": second.square().to(parameter),
            }
    return optimizer


def _preserved(case: Case, optimizer: Optimizer | None) -> TransformResult | RefusalError:
    about = f"{case.pass_.describe()} on {type(case.module).__name__}"
    if optimizer is not None:  # a reproduction has another one
        about += f" with the given {type(optimizer).__name__}"
    reference = copy.deepcopy(case.module)
    subject, used = copy.deepcopy((case.module, optimizer))
    if used is None:
        used = used_optimizer(subject, case.seed)
    try:
        result = transform(
            subject,
            case.pass_,
            optimizer=used,
            example_inputs=case.example_inputs,
            entry_points=case.entry_points,
        )
    except RefusalError as refusal:
        return refusal
    except VerificationError as error:
        reason = f"{about}: {str(error).splitlines()[0]}"
        raise PreservationError(case, reason, where_of(error.report), error.report) from error
    except Exception as error:
        reason = f"{about} fails: {type(error).__name__}: {error}"
        raise PreservationError(case, reason) from error
    report = _verified(reference, result, case, about)
    claim = case.pass_.claim
    if claim is Grade.PROVED and result.certificate.steps:
        claim = Grade.TESTED  # each step was proved, and what lies between them is gone
    if claim is Grade.TESTED and unexercised(report.checks):
        return result
    if claim in _EVERYWHERE and report.grade.rank > claim.rank:
        reason = f"{about} is {report.grade}, and it claims {claim}"
        raise PreservationError(case, reason, where_of(report), report, result.certificate)
    return result


def _verified(reference: nn.Module, result: TransformResult, case: Case, about: str) -> Report:
    """What is known of the result and a module that the pass has never seen."""
    # "kept" is left to the application: only it knows which layer a new one follows, and what
    # follows a frozen layer is frozen (STATE-9).
    certificate = result.certificate if not result.certificate.steps else None
    checks: Sequence[str] = CHECKS if certificate is not None else untold_checks(result)
    if lineage_of(result.module) == lineage_of(reference):
        checks = [name for name in checks if name != "field"]  # nothing changed, and it takes long
    try:
        return verify(
            reference,
            result.module,
            example_inputs=case.example_inputs,
            entry_points=case.entry_points,
            certificate=certificate,
            checks=checks,
        )
    except Exception as error:  # a refusal too: then nobody knows what came out
        refusal = error if isinstance(error, RefusalError) else None
        what = f"{type(error).__name__}: {error}" if refusal is None else refusal.reason
        where = "" if refusal is None else "; ".join(refusal.nodes)
        reason = f"{about} can't be verified: {what}"
        raise PreservationError(case, reason, where, result.report, result.certificate) from error


def untold_checks(result: TransformResult) -> Sequence[str]:
    """The checks that need not be told what changed, as where several certificates do not join.

    What differs in a field may be explained by a fact that a certificate has used (GRADE-3).
    """
    by_facts = any("facts" in check.figures for check in result.report.checks)
    return ("float64", "native") if by_facts else ("field", "float64", "native")


def where_of(report: Report | None) -> str:
    """The places that the checks name, with the check that names each first."""
    places: dict[str, str] = {}
    for check in () if report is None else report.checks:
        if check.where:
            places.setdefault(check.where, check.name)
    return "; ".join(f"{where} ({name})" for where, name in places.items())
