"""One application of passes, from the edits to the verdict.

BACK-6   whatever goes wrong on the way, model and optimizers are as they were
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.backend.described import describe
from morphir.backend.surgery import Surgery
from morphir.checks import (
    Inventory,
    Original,
    check_certificate,
    check_double,
    check_learning,
    check_native,
    check_on_data,
    check_within,
)
from morphir.checks.announced import expected
from morphir.checks.calling import double_copy, private_copy
from morphir.cloning import replica
from morphir.emission import check_emission
from morphir.errors import RefusalError, VerificationError
from morphir.frontend import Trace, record
from morphir.ir import (
    AttributeChange,
    Certificate,
    Check,
    Grade,
    Insertion,
    InsertionClaim,
    Program,
    Report,
    ResizeClaim,
    Rewriter,
)
from morphir.lineage import Lineage, lineage_of, set_lineage, structure_of
from morphir.ops import DEFAULT_TABLE
from morphir.state.optimizer import Joining
from morphir.state.transport import StateRules, Transport

_CAN_REFUTE: Final = ("float64", "native", "kept", "original", "learning")


@final
@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Times a phase that ends well."""
        start = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


@final
@dataclass(frozen=True, eq=False)
class Traces:
    """A model recorded in eval mode and, where that works, in train mode.

    Attributes:
        eval: The recording in eval mode.
        train: That in train mode, None where there is none.
        train_failure: Why there is none.
        are_one: Whether the same recording stands for both, as nothing in it uses the mode.
    """

    eval: Trace
    train: Trace | None
    train_failure: str = ""
    are_one: bool = False

    @classmethod
    def of(cls, model: nn.Module, example_inputs: Any, entry_points: Sequence[str]) -> Traces:
        """Records a model in both modes."""
        first = record(model, example_inputs=example_inputs, entry_points=entry_points)
        without = [repr(name) for name in entry_points if name not in first.inputs]
        if without:
            return cls(first, None, f"there are no inputs to run {', '.join(without)} on")
        if not first.uses_mode:
            program = replace(first.program, mode="train")
            return cls(first, replace(first, program=program), are_one=True)
        try:
            second = record(
                model, example_inputs=dict(first.inputs), entry_points=entry_points, mode="train"
            )
        except RefusalError as refusal:
            return cls(first, None, refusal.reason)
        return cls(first, second)

    def keeping(self, names: Collection[str]) -> Traces:
        """The same, with copies of some tensors, which the model is about to change."""
        state = self.eval.program.state
        copies = {n: t.detach().clone() for n in names if (t := state[n].tensor) is not None}

        def kept(trace: Trace) -> Trace:
            entries = trace.program.state
            changed = {n: replace(entries[n], tensor=t) for n, t in copies.items()}
            return replace(trace, program=replace(trace.program, state={**entries, **changed}))

        train = None if self.train is None else kept(self.train)
        return replace(self, eval=kept(self.eval), train=train)


@final
@dataclass(frozen=True, eq=False)
class Twins:
    """Copies of a model to run, so that running it changes nothing that the user holds.

    Attributes:
        native: In the stored dtype, with the model's own parameters.
        double: In float64.
    """

    native: nn.Module
    double: nn.Module

    @classmethod
    def of(cls, model: nn.Module) -> Twins:
        """Copies a model; its optimizers are not copied."""
        return cls(replica(model), double_copy(model))

    def apart(self) -> Twins:
        """The same, with parameters of their own."""
        return Twins(private_copy(self.native), self.double)


@final
class Application:
    """Edits of a model: applied, checked, and taken back if a block that uses them fails."""

    def __init__(
        self,
        target: nn.Module,
        optimizers: Sequence[Optimizer],
        before: Traces,
        twins: Twins | None,
        rewriter: Rewriter,
        original: Original,
        since: Inventory,
        clock: Clock,
        state_rules: StateRules | None = None,
    ) -> None:
        """Says what is known when the edits are about to be applied.

        Args:
            target: The model that is edited.
            optimizers: The optimizers that take the new parameters.
            before: The recordings of the model as it is.
            twins: Copies of it as it is, None where there are no inputs to run them on.
            rewriter: The edits, and the program that they make.
            original: The model as it was given, with an inventory taken before anything was done.
            since: The inventory of the target as it is.
            clock: Times the phases.
            state_rules: What the state of optimizers means that are not torch's own.
        """
        self.target, self.optimizers = target, optimizers
        self.before, self.twins, self.original, self.since = before, twins, original, since
        self.after, self.new_twins = before, twins
        self._followed: list[AttributeChange] = []
        self.rewriter, self.clock = rewriter, clock
        given = {name: t for edit in rewriter.resizes for name, t in edit.given.items()}
        self._surgery = Surgery(target, rewriter.program.sequentials, given=given)
        self._joining = Joining(optimizers, target)
        self._transport = Transport(optimizers, target, state_rules)
        self._lineage = lineage_of(target)

    def __enter__(self) -> Application:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._transport.undo()
            self._joining.undo()
            self._surgery.undo()
            set_lineage(self.target, self._lineage)

    def run(
        self, example_inputs: Any, entry_points: Sequence[str], least: Grade
    ) -> tuple[Report, Certificate, Lineage]:
        """Edits the target, records it again and checks it.

        Returns:
            The report with grade, laws, checks and times; the certificate; the target's lineage.

        Raises:
            RefusalError: The edits do not fit the model or the optimizers.
            VerificationError: A check failed, or the grade is below `least`.
        """
        edits = self.rewriter.edits
        structure = structure_of(self.target)
        self._keep_what_changes()
        with self.clock("emit"):
            described = _described(self.target)
            for change in self.rewriter.resizes:
                self._transport.check(change)
            self._surgery.apply(edits)
            for change in self.rewriter.resizes:
                self._transport.apply(change)
            self._join()
            self._followed = [*_followed(described, _described(self.target))]
        with self.clock("trace again"):
            known = dict(self.before.eval.inputs)
            given = known if known.keys() == set(entry_points) else example_inputs
            self.after = Traces.of(self.target, given, entry_points)
            check_emission(self.target, self.rewriter, self.after.eval.program)
        certificate = _certificate(self.before.eval, self.after.eval, self.rewriter)
        report = self._report(certificate, self._checks(certificate, self.after))
        if report.grade.rank > least.rank:
            is_lower = report.grade.rank < Grade.UNKNOWN.rank
            raise VerificationError(
                f"the change is {report.grade}, expected {least} or better, so nothing was changed",
                report=report,
                suggestions=[f"min_grade=morphir.Grade.{report.grade}"] if is_lower else [],
            )
        lineage = self._lineage
        if edits:
            lineage = lineage.extended(edits, structure, certificate.before, certificate.after)
        set_lineage(self.target, lineage)
        return report, certificate, lineage

    def _keep_what_changes(self) -> None:
        """Copies the old numbers where the model that was recorded is the one that changes."""
        names = [name for edit in self.rewriter.resizes for name in edit.tensors]
        is_itself = self.target is self.original.model or self.since is not self.original.inventory
        if names and is_itself:
            self.before = self.before.keeping(names)
            self.twins = None if self.twins is None else self.twins.apart()

    def _join(self) -> None:
        parameters = dict(self.target.named_parameters())
        for edit in self.rewriter.insertions:
            leaders = [(name, parameters[name]) for name in edit.follows if name in parameters]
            self._joining.join(_new_parameters([edit]), leaders)

    def _checks(self, certificate: Certificate, after: Traces) -> list[Check]:
        old, new = self.before.eval.program, after.eval.program
        with self.clock("certificate"):
            first = check_certificate(old, new, certificate, DEFAULT_TABLE)
            checks = [first, self._train_check(after, first)]
        with self.clock("inventory"):
            follows = {edit.name: edit.follows for edit in self.rewriter.insertions}
            claims = certificate.insertions
            since = self.since
            for edit in self.rewriter.resizes:
                since = expected(since, edit.tensors, [*edit.attributes, *self._followed])
            checks += self.original.check(self.target, self.optimizers, claims, follows, since)
        if self.twins is None:
            why = "not run: there are no inputs to run it on"
            return [*checks, Check("float64", Grade.UNKNOWN, why)]
        with self.clock("copy"):
            twins = self.new_twins = Twins.of(self.target)
        inputs = self.before.eval.inputs
        for edit in self.rewriter.resizes:
            if edit.data is not None:
                with self.clock("data"):
                    return [*checks, check_on_data(self.twins.double, twins.double, edit.data)]
            if edit.box is not None:
                with self.clock("float64"):
                    both = self.twins.double, twins.double
                    return [*checks, check_within(*both, inputs, _bounds(old, edit.box))]
        with self.clock("float64"):
            checks.append(check_double(self.twins.double, twins.double, inputs, DEFAULT_TABLE))
        with self.clock("native"):
            reference = self.twins.double
            checks.append(check_native(self.twins.native, twins.native, inputs, reference))
        if certificate.insertions:
            with self.clock("learning"):
                claims, twin = certificate.insertions, self.twins.native
                checks.append(check_learning(self.target, claims, inputs, twin))
        return checks

    def _train_check(self, after: Traces, in_eval: Check) -> Check:
        old, new = self.before.train, after.train
        if self.before.are_one and after.are_one:
            why = "as in eval mode, since nothing that ran uses the mode"
            return replace(in_eval, name="certificate (train)", summary=why)
        if old is None:
            return Check("train mode", Grade.UNKNOWN, f"not recorded: {self.before.train_failure}")
        if new is None:
            why = f"the new model can't be recorded: {after.train_failure}"
            return Check("certificate (train)", Grade.UNKNOWN, why)
        certificate = _certificate(old, new, self.rewriter)
        return check_certificate(old.program, new.program, certificate, DEFAULT_TABLE)

    def _report(self, certificate: Certificate, checks: Sequence[Check]) -> Report:
        program = self.before.eval.program
        return Report(
            grade=verdict(checks),
            laws=tuple(dict.fromkeys(["CERT-5", *(edit.law for edit in self.rewriter.edits)])),
            entry_points=tuple(program.graphs),
            not_covered=program.unreached,
            checks=tuple(checks),
            notes=(*program.notes, *parameters_not_finite(self.target), *self._joining.notes),
            seconds=dict(self.clock.seconds),
        )


Described = Mapping[str, Mapping[str, Any]]


def _described(model: nn.Module) -> Described:
    """The attributes of every module that describe its tensors."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, module in model.named_modules():
        own = describe(module)
        found[name] = {key: getattr(module, key) for key in own if hasattr(module, key)}
    return found


def _followed(before: Described, after: Described) -> Iterator[AttributeChange]:
    for name, values in after.items():
        for key, value in values.items():
            old = before.get(name, {}).get(key, value)
            if old != value:
                yield AttributeChange(name, key, old, value)


def parameters_not_finite(model: nn.Module) -> list[str]:
    """A note if a parameter holds infinities or NaN, for which no run can show anything."""
    names = [name for name, parameter in model.named_parameters() if not _is_finite(parameter)]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"a parameter is not finite: {names[0]}{more}"] if names else []


def _is_finite(tensor: torch.Tensor) -> bool:
    if not tensor.is_floating_point() or tensor.element_size() == 1:  # torch can't tell for float8
        return True
    detached = tensor.detach()  # a sum takes a third of the time, but may overflow
    return math.isfinite(detached.sum().item()) or bool(detached.isfinite().all())


def verdict(checks: Sequence[Check]) -> Grade:
    """The grade of an application: any refutation, else the certificate, else the runs (GRADE-1).

    A change that does not claim to keep the function is graded by what was measured (GRADE-2).
    Where the certificate holds in eval mode only, nothing is known: nothing runs in train mode.
    """
    grades = {check.name: check.grade for check in checks}
    if any(grades.get(name) is Grade.REFUTED for name in _CAN_REFUTE):
        return Grade.REFUTED
    if "data" in grades and grades.get("certificate") is Grade.UNKNOWN:
        return grades["data"]
    if grades.get("certificate") in (Grade.PROVED, Grade.PROVED_ON_BOX):
        return max(
            grades["certificate"], grades.get("certificate (train)", Grade.PROVED), key=_rank
        )
    ran = any(grades.get(name) is Grade.TESTED for name in ("float64", "native"))
    return Grade.TESTED if ran else Grade.UNKNOWN


def _bounds(
    program: Program, box: Mapping[str, tuple[float, float]]
) -> dict[str, list[tuple[float, float]]]:
    anything = (-math.inf, math.inf)
    return {
        name: [box.get(value.name, anything) for value in graph.inputs]
        for name, graph in program.graphs.items()
    }


def _rank(grade: Grade) -> int:
    return grade.rank


def _new_parameters(edits: Sequence[Insertion]) -> Mapping[str, nn.Parameter]:
    return {f"{e.name}.{key}": p for e in edits for key, p in e.module.named_parameters()}


def _certificate(before: Trace, after: Trace, rewriter: Rewriter) -> Certificate:
    return Certificate(
        before.program.hash,
        after.program.hash,
        tuple(InsertionClaim(edit.law, edit.anchor, edit.name) for edit in rewriter.insertions),
        tuple(ResizeClaim(edit.law, edit.at, edit.tensors) for edit in rewriter.resizes),
        box=next((edit.box for edit in rewriter.resizes), None),
    )
