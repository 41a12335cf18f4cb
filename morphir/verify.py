"""Compares any two modules: what the checkers can say about a pair that no pass has made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from torch import nn

from morphir.checks import (
    Extended,
    Inventory,
    check_certificate,
    check_double,
    check_kept,
    check_learning,
    check_native,
)
from morphir.checks.announced import without
from morphir.checks.kept import other_python
from morphir.errors import RefusalError
from morphir.frontend import check_module
from morphir.grading import parameters_not_finite, verdict
from morphir.ir import Certificate, Check, Grade, Program, Report
from morphir.ops import DEFAULT_TABLE
from morphir.recordings import Clock, Traces, Twins

CHECKS: Final = ("certificate", "float64", "native")
_KNOWN: Final = (*CHECKS, "kept", "learning")


def verify(
    before: nn.Module,
    after: nn.Module,
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
    certificate: Certificate | None = None,
    checks: Sequence[str] = CHECKS,
) -> Report:
    """Says how much is known about whether two modules compute the same.

    Nothing is changed and nothing is raised for a difference: the report has it. The grade is never
    more than what the chosen checks found: without `"certificate"` it is at most `TESTED`.

    Args:
        before: A module.
        after: Another one. Modules and parameters that correspond have the same names.
        example_inputs: As for `apply`; inputs for both, or where the certificate says that the
            second takes more, for the first.
        entry_points: The methods to compare.
        certificate: What a transformation left: which programs are meant, and what was inserted
            where. Without one, new parameters may be anywhere.
        checks: What to run: `"certificate"` (proves equality, in eval and in train mode),
            `"float64"` (runs both on adversarial inputs), `"native"` (runs both in their own
            dtype), `"kept"` (compares classes, flags, hooks, settings and bits), `"learning"`
            (trains what the certificate says is new for a few steps).

    Returns:
        The report, with the grade, what each check found, and where two modules differ.

    Raises:
        RefusalError: One of them cannot be recorded.

    Example:
        >>> import copy, torch, morphir
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> other = copy.deepcopy(net)
        >>> morphir.verify(net, other).grade.name
        'PROVED'
        >>> other[1] = torch.nn.LeakyReLU()
        >>> morphir.verify(net, other).grade.name
        'REFUTED'
    """
    check_module(before)
    check_module(after)
    _check_names(checks)
    clock = Clock()
    with clock("trace"):
        old = Traces.of(before, example_inputs, entry_points)
        given = dict(old.eval.inputs)
        for name, arguments in given.items():
            given[name] = _extended(certificate).arguments(after, name, arguments)
        same_inputs = given if given.keys() == set(entry_points) else example_inputs
        new = Traces.of(after, same_inputs, entry_points)
    found: list[Check] = []
    if "certificate" in checks:
        with clock("certificate"):
            found += _proofs(old, new, certificate, _python(before, after))
    found += _runs(before, after, old.eval.inputs, certificate, checks, clock)
    claims = () if certificate is None else (*certificate.insertions, *certificate.removals)
    program = old.eval.program
    weights = (*parameters_not_finite(before), *parameters_not_finite(after))
    return Report(
        grade=verdict(found),
        laws=tuple(dict.fromkeys(claim.law for claim in claims)),
        entry_points=tuple(program.graphs),
        not_covered=program.unreached,
        checks=tuple(found),
        notes=tuple(dict.fromkeys((*program.notes, *new.eval.program.notes, *weights))),
        seconds=dict(clock.seconds),
    )


def _extended(certificate: Certificate | None) -> Extended:
    """What the certificate says is longer in the second module."""
    if certificate is None:
        return Extended()
    return Extended(certificate.inputs, certificate.outputs)


def _check_names(checks: Sequence[str]) -> None:
    unknown = [name for name in checks if name not in _KNOWN]
    if isinstance(checks, str) or not checks or unknown:
        raise RefusalError(
            f"checks={checks!r}, expected some of {', '.join(map(repr, _KNOWN))}",
            suggestions=["checks=('certificate', 'float64')"],
        )


def _python(before: nn.Module, after: nn.Module) -> str:
    """A module that may run other Python code in the two models, or ""."""
    return other_python(Inventory.of(before, bits=False), Inventory.of(after, bits=False))


def _proofs(old: Traces, new: Traces, given: Certificate | None, differing: str) -> list[Check]:
    proofs = [_proof(old.eval.program, new.eval.program, given, differing)]
    if old.train is not None and new.train is not None:
        before, after = old.train.program, new.train.program
        if given is not None:
            given = replace(given, before=before.hash, after=after.hash)
        proofs.append(_proof(before, after, given, differing))
    return proofs


def _proof(before: Program, after: Program, given: Certificate | None, differing: str) -> Check:
    check = check_certificate(before, after, given, DEFAULT_TABLE)
    if check.grade is Grade.PROVED and check.figures["escapes"] and differing:
        why = "values leave torch, and what Python does with them is not the same in both"
        return replace(check, grade=Grade.UNKNOWN, summary=f"CERT-5: {why}", where=differing)
    return check


def _runs(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Any],
    certificate: Certificate | None,
    checks: Sequence[str],
    clock: Clock,
) -> list[Check]:
    claims = () if certificate is None else certificate.insertions
    extended = _extended(certificate)
    found: list[Check] = []
    if "kept" in checks:
        with clock("kept"):
            removals = () if certificate is None else certificate.removals
            expected = without(Inventory.of(before), [claim.module for claim in removals])
            found.append(check_kept(expected, Inventory.of(after), claims))
    if not inputs:
        why = "not run: there are no inputs to run it on"
        named = ("float64", "native", "learning")
        return [*found, *(Check(name, Grade.UNKNOWN, why) for name in named if name in checks)]
    if "float64" in checks or "native" in checks:
        with clock("copy"):
            old, new = Twins.of(before), Twins.of(after)
    if "float64" in checks:
        with clock("float64"):
            both = old.double, new.double
            found.append(check_double(*both, inputs, DEFAULT_TABLE, extended))
    if "native" in checks:
        with clock("native"):
            both = old.native, new.native
            found.append(check_native(*both, inputs, old.double, extended))
    if "learning" in checks:
        with clock("learning"):
            found.append(check_learning(after, claims, inputs, before))
    return found
