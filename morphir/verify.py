"""Compares any two modules: what the checkers can say about a pair that no pass has made."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property, reduce
from pathlib import Path
from typing import Any, Final, final

from torch import nn

from morphir.checks import (
    Extended,
    Inventory,
    check_certificate,
    check_compiled,
    check_double,
    check_gradients,
    check_kept,
    check_learning,
    check_native,
    check_round_trip,
    check_statistics,
)
from morphir.checks.announced import announced
from morphir.checks.kept import other_python
from morphir.errors import RefusalError, VerificationError
from morphir.export import export_onnx
from morphir.field import check_field
from morphir.frontend import check_module
from morphir.grading import check_finite, verdict
from morphir.ir import Certificate, Check, Grade, Program, Report, maps_of
from morphir.ops import DEFAULT_TABLE
from morphir.recordings import Clock, Traces, Twins

CHECKS: Final = ("certificate", "field", "float64", "native")
_KNOWN: Final = (
    "certificate", "kept", "field", "float64", "native", "gradients", "statistics", "learning",
    "state_dict", "compile", "onnx",
)  # fmt: skip


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
    more than what the chosen checks found: without `"certificate"` it is at most `TESTED`, with
    neither `"field"` nor `"float64"` beside it `UNKNOWN`, unless there is a difference.

    Args:
        before: A module.
        after: Another one. Modules and parameters that correspond have the same names.
        example_inputs: As for `apply`; inputs for both, or where the certificate says that the
            second takes more, for the first.
        entry_points: The methods to compare.
        certificate: What a transformation left: which programs are meant, and what was inserted
            where. Without one, new parameters may be anywhere.
        checks: What to run: `"certificate"` (proves equality, in eval and in train mode),
            `"field"` (compares both with exact arithmetic modulo random primes, without a
            certificate), `"float64"` (runs both on adversarial inputs), `"native"` (runs both in
            their own dtype), `"kept"` (compares classes, flags, hooks, settings and bits),
            `"gradients"` (those of inputs and parameters, unit by unit), `"statistics"` (buffers
            after a forward in train mode), `"learning"` (trains what the certificate says is new
            for a few steps), `"state_dict"` (saves and loads), `"compile"` and `"onnx"` (compare
            the second with what `torch.compile` and ONNX make of it).

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
        given = _extended(certificate).inputs_of(after, old.eval.inputs)
        same_inputs = given if given.keys() == set(entry_points) else example_inputs
        new = Traces.of(after, same_inputs, entry_points)
    found = check_finite(before, after)
    if "certificate" in checks:
        with clock("certificate"):
            found += _proofs(old, new, certificate, _python(before, after))
    pair = _Pair(before, after, old.eval.inputs, certificate, clock)
    found += [pair.check(name) for name in _KNOWN if name in checks and name != "certificate"]
    claims = () if certificate is None else (*certificate.insertions, *certificate.removals)
    program = old.eval.program
    return Report(
        grade=verdict(found),
        laws=tuple(dict.fromkeys(claim.law for claim in claims)),
        entry_points=tuple(program.graphs),
        not_covered=program.unreached,
        checks=tuple(found),
        notes=tuple(dict.fromkeys((*program.notes, *new.eval.program.notes))),
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


@final
class _Pair:
    """Two models, and the checks that run or look at them."""

    def __init__(
        self,
        before: nn.Module,
        after: nn.Module,
        inputs: Mapping[str, Any],
        certificate: Certificate | None,
        clock: Clock,
    ) -> None:
        self._before, self._after, self._inputs = before, after, inputs
        self._certificate, self._clock = certificate, clock
        self._extended = _extended(certificate)
        self._claims = () if certificate is None else certificate.insertions

    def check(self, name: str) -> Check:
        """One check by its name."""
        if name != "kept" and not self._inputs:
            return Check(name, Grade.UNKNOWN, "not run: there are no inputs to run it on")
        self._prepare(name)
        with self._clock(name):
            check: Check = getattr(self, f"_{name}")()
            return check

    def _prepare(self, name: str) -> None:
        """Copies the models where the check needs that, outside of its time."""
        if name not in ("kept", "field", "learning"):
            _ = self._twins

    @cached_property
    def _twins(self) -> tuple[Twins, Twins]:
        with self._clock("copy"):
            return Twins.of(self._before), Twins.of(self._after)

    @property
    def _doubles(self) -> tuple[nn.Module, nn.Module]:
        old, new = self._twins
        return old.double, new.double

    @property
    def _axes(self) -> dict[str, Any]:
        """What is claimed of axes, as the checks of gradients and buffers take it."""
        given = self._certificate
        if given is None:
            return {"tensors": {}, "extended": self._extended}
        if given.is_inverse:
            return {"tensors": given.inverted.tensors, "extended": self._extended, "inverse": True}
        return {"tensors": given.tensors, "extended": self._extended}

    def _kept(self) -> Check:
        given = self._certificate
        steps = () if given is None else given.steps or (given,)
        expected = reduce(announced, steps, Inventory.of(self._before))
        claims = [claim for step in steps for claim in step.insertions]
        masked = [name for step in steps for name in step.masked]
        return check_kept(expected, Inventory.of(self._after), claims, masked=masked)

    def _field(self) -> Check:
        longer = self._extended.inputs_of(self._after, self._inputs)
        outputs = self._extended.outputs
        return check_field(self._before, self._after, self._inputs, longer, outputs)

    def _float64(self) -> Check:
        return check_double(*self._doubles, self._inputs, DEFAULT_TABLE, self._extended)

    def _native(self) -> Check:
        old, new = self._twins
        growth = self._growth()
        return check_native(
            old.native, new.native, self._inputs, old.double, self._extended, growth
        )

    def _growth(self) -> float:
        """How many times as much is rounded (RUN-2), as claimed or as there are more numbers."""
        given = self._certificate
        if given is not None and not given.steps:
            return max((each.growth for each in maps_of(given.tensors)), default=1.0)
        old, new = (sum(p.numel() for p in m.parameters()) for m in (self._before, self._after))
        return math.sqrt(max(1.0, new / max(old, 1)))

    def _learning(self) -> Check:
        return check_learning(self._after, self._claims, self._inputs, self._before)

    def _gradients(self) -> Check:
        return check_gradients(*self._doubles, self._inputs, **self._axes)

    def _statistics(self) -> Check:
        return check_statistics(*self._doubles, self._inputs, **self._axes)

    def _state_dict(self) -> Check:
        return check_round_trip(self._twins[1].native, self._new_inputs)

    def _compile(self) -> Check:
        new = self._twins[1]
        return check_compiled(new.native, self._new_inputs, new.double)

    def _onnx(self) -> Check:
        if "forward" not in self._inputs:
            return Check("onnx", Grade.UNKNOWN, "not run: only forward is exported")
        with tempfile.TemporaryDirectory() as folder:
            path, (args, kwargs) = Path(folder) / "model.onnx", self._new_inputs["forward"]
            inputs = {"forward": (args, kwargs)} if kwargs else args
            try:
                report = export_onnx(self._twins[1].native, path, example_inputs=inputs)
            except VerificationError as error:
                return Check("onnx", Grade.REFUTED, str(error).partition("\n")[0], "forward")
            except RefusalError as error:
                return Check("onnx", Grade.UNKNOWN, f"not exported: {error.reason}", "forward")
        line = str(report).partition("\n")[0].removeprefix(f"{path}: ")
        return Check("onnx", Grade.TESTED, line)

    @property
    def _new_inputs(self) -> dict[str, Any]:
        return self._extended.inputs_of(self._after, self._inputs)
