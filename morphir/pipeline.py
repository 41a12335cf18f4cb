"""One application of passes, from the edits to the verdict.

BACK-6   whatever goes wrong on the way, model and optimizers are as they were
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.backend.closures import check_computes_alone
from morphir.backend.surgery import Surgery
from morphir.checks import (
    Carried,
    Commits,
    Extended,
    Inventory,
    Original,
    belongings,
    check_carried,
    check_certificate,
    check_double,
    check_drift,
    check_learning,
    check_native,
    check_on_data,
    check_rounding,
    check_within,
    holding,
)
from morphir.checks.announced import announced
from morphir.checks.succession import places_of
from morphir.described import describe
from morphir.emission import check_emission, check_fits, of_the_change
from morphir.errors import RefusalError, VerificationError
from morphir.field import check_field
from morphir.frontend import Trace
from morphir.frontend.unread import unread_note
from morphir.grading import check_finite, unexercised, verdict
from morphir.ir import (
    FRESH,
    AttributeChange,
    Certificate,
    Check,
    Grade,
    Insertion,
    InsertionClaim,
    Program,
    Renumbering,
    Report,
    Resize,
    ResizeClaim,
    Rewriter,
    TensorChange,
    is_inside,
    maps_of,
)
from morphir.lineage import Lineage, lineage_of, set_lineage, structure_of
from morphir.ops import DEFAULT_TABLE
from morphir.recordings import Clock, Traces, Twins, reads_the_same
from morphir.renumbered import Renumbered
from morphir.state.leaving import Leaving
from morphir.state.optimizer import Joining
from morphir.state.succession import Succession
from morphir.state.transport import StateRules, Transport


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
        not_run: str = "there are no inputs to run it on",
        *,
        in_field: bool = False,
    ) -> None:
        """Says what is known when the edits are about to be applied.

        Args:
            target: The model that is edited.
            optimizers: The optimizers that take the new parameters.
            before: The recordings of the model as it is.
            twins: Copies of it as it is, None where they are not run.
            rewriter: The edits, and the program that they make.
            original: The model as it was given, with an inventory taken before anything was done.
            since: The inventory of the target as it is.
            clock: Times the phases.
            state_rules: What the state of optimizers means that are not torch's own.
            not_run: Why there are no twins.
            in_field: Whether to run the field checker on the twins as well.
        """
        self.target, self.optimizers = target, optimizers
        self.before, self.twins, self.original, self.since = before, twins, original, since
        self.after, self.new_twins = before, twins
        self.inventory = since
        self._followed: list[AttributeChange] = []
        self._carried: list[Check] = []
        self.rewriter, self.clock = rewriter, clock
        self._not_run, self._in_field = not_run, in_field
        given = {name: t for edit in rewriter.resizes for name, t in edit.given.items()}
        self._commits = Commits(self._carrying)
        self._extended = Extended(
            tuple(each for edit in rewriter.resizes for each in edit.inputs),
            tuple(each for edit in rewriter.resizes for each in edit.outputs),
        )
        sequentials = rewriter.program.sequentials
        self._surgery = Surgery(target, sequentials, given=given, watch=self._commits.check)
        self._joining, self._leaving = Joining(optimizers, target), Leaving(optimizers)
        self._succession = Succession(optimizers, target)
        self._transport = Transport(optimizers, target, state_rules)
        masked = [name for name, each in before.eval.program.state.items() if each.mask]
        self._renumbered = Renumbered(target, optimizers, rewriter.renumberings, masked)
        self._lineage = lineage_of(target)

    def __enter__(self) -> Application:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._transport.undo()
            self._succession.undo()
            self._joining.undo()
            self._leaving.undo()
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
            VerificationError: A check failed, the edited model can't be called (BACK-16), or the
                grade is below `least`.
        """
        edits = self.rewriter.edits
        structure = structure_of(self.target)
        self._keep_what_changes()
        belonged = self._belongings()
        with self.clock("emit"):
            resizes = bool(self.rewriter.resizes)  # nothing else changes what modules say of sizes
            described = _described(self.target) if resizes else {}
            for change in self.rewriter.resizes:
                if self.target is self.original.model:  # nobody else can hold what was just copied
                    self._transport.check(change)
                else:
                    self._transport.check_state(change)
            if self.target is self.original.model:
                self._renumbered.check_known()
            gone = self._gone()
            self._surgery.apply(edits)
            if resizes:
                self._followed = [*_followed(described, _described(self.target))]
        with self.clock("optimizer"):
            for change in self.rewriter.resizes:
                self._transport.apply(change)
            self._carried = self._compared(belonged)
            self._renumbered.begin_anew(self._transport)
            self._carried += self._renumbered.check()
            self._join()
            self._leaving.leave(gone)
            self._succession.carry_out(self.rewriter.injections)
        with self.clock("trace again"):
            self.after = self._recorded_again(example_inputs, entry_points)
        certificate = self._certificate(self.before.eval, self.after.eval)
        report = self._report(certificate, self._checks(certificate, self.after))
        _check_grade(report, least, entry_points)
        lineage = self._lineage
        if edits:
            lineage = lineage.extended(edits, structure, certificate.before, certificate.after)
        set_lineage(self.target, lineage)
        return report, certificate, lineage

    def _recorded_again(self, example_inputs: Any, entry_points: Sequence[str]) -> Traces:
        """The recordings of the target as it is now."""
        if not self.rewriter.edits and self.target is self.original.model:
            return self.before
        edits = self.rewriter.renumberings
        # No module has anything new, and a copy has what the original has.
        if edits and not any(edit.first for edit in edits) and self._is_as_the_original():
            refreshed = self.before.refreshed(self.target)
            if refreshed is not None:
                return refreshed
        known = dict(self.before.eval.inputs)
        for name, arguments in known.items():
            known[name] = self._extended.arguments(self.target, name, arguments)
        given = known if known.keys() == set(entry_points) else example_inputs
        try:
            after = Traces.of(self.target, given, entry_points)
        except RefusalError as refusal:
            check_fits(self.target, self.rewriter, self.before.eval.program, known)
            raise of_the_change(refusal, self.rewriter) from refusal.__cause__
        if self.target is not self.original.model:
            check_computes_alone(after.eval.program, self.original.model)
        check_emission(self.target, self.rewriter, after.eval.program)
        return after

    def _is_as_the_original(self) -> bool:
        """Whether the target is the model that was recorded, or a copy known to be the same."""
        original = self.original.model
        return self.target is original or reads_the_same(self.target, original)

    def _keep_what_changes(self) -> None:
        """Copies the old numbers where the model that was recorded is the one that changes.

        Only a removal asks for them: that what is left out is zero is derived from all numbers.
        Otherwise they are compared with the new ones while both are there.
        """
        names = [name for edit in self.rewriter.resizes for name in edit.tensors]
        renumbered = [name for edit in self.rewriter.renumberings for name in edit.names]
        masks = self.before.eval.program.masks
        names += [*renumbered, *(mask for mask, name in masks.items() if name in renumbered)]
        is_itself = self.target is self.original.model or self.since is not self.original.inventory
        if not names or not is_itself:
            return
        maps = [m for edit in self.rewriter.resizes for m in maps_of(edit.tensors)]
        removes = any(len({*m.source} - {FRESH}) < m.size for m in maps)
        removes = removes or any(edit.inverse for edit in self.rewriter.resizes) or bool(renumbered)
        self.before = self.before.keeping(names, copy=removes)
        self.twins = None if self.twins is None else self.twins.apart()

    def _gone(self) -> dict[str, nn.Parameter]:
        """The parameters of the modules that are to be removed."""
        names = [edit.name for edit in self.rewriter.removals]
        parameters = self.target.named_parameters() if names else ()
        return {name: parameter for name, parameter in parameters if is_inside(name, names)}

    def _join(self) -> None:
        parameters = dict(self.target.named_parameters())
        for edit in self.rewriter.insertions:
            leaders = [(name, parameters[name]) for name in edit.follows if name in parameters]
            self._joining.join(_new_parameters([edit]), leaders)

    def _checks(self, certificate: Certificate, after: Traces) -> list[Check]:
        old, new = self.before.eval.program, after.eval.program
        with self.clock("certificate"):
            first = check_certificate(old, new, certificate, DEFAULT_TABLE, self._commits)
            checks = [*check_finite(self.target), first, self._train_check(after, first)]
        with self.clock("inventory"):
            follows = {edit.name: edit.follows for edit in self.rewriter.insertions}
            claims = certificate.insertions
            since = announced(self.since, certificate)
            now = self.inventory = Inventory.of(self.target, self.optimizers)
            heirs = {n: old for edit in self.rewriter.injections for n, old in edit.heirs.items()}
            places = places_of(self.since, heirs)
            masked = certificate.masked
            checks += self.original.check(
                self.target, self.optimizers, claims, follows, since, masked, places, now
            )
            checks += self._carried
        if self.twins is None:
            why = f"not run: {self._not_run}"
            return [*checks, Check("float64", Grade.UNKNOWN, why)]
        with self.clock("copy"):
            twins = self.new_twins = Twins.of(self.target)
        inputs = self.before.eval.inputs
        edits: Sequence[Resize | Renumbering] = self.rewriter.resizes or self.rewriter.renumberings
        for edit in edits:
            if edit.data is not None:
                with self.clock("data"):
                    return [*checks, *self._on_data(edit, edit.data, twins)]
        for box in (edit.box for edit in self.rewriter.resizes):
            if box is not None:
                with self.clock("float64"):
                    both = self.twins.double, twins.double
                    return [*checks, check_within(*both, inputs, _bounds(old, box))]
        if not all(edit.keeps for edit in self.rewriter.renumberings):
            with self.clock("float64"):
                return [*checks, check_drift(self.twins.double, twins.double, inputs)]
        exact = self._surgery.exact
        if exact:
            with self.clock("rounding"):
                pairs = self.target.named_parameters(), self.target.named_buffers()
                stored = dict(chain(*pairs))
                both = self.twins.double, twins.double
                checks.append(check_rounding(*both, inputs, stored, exact))
        with self.clock("float64"), holding(twins.double, exact):
            both = self.twins.double, twins.double
            checks.append(check_double(*both, inputs, DEFAULT_TABLE, self._extended))
        with self.clock("native"):
            both = self.twins.native, twins.native
            reference, growth = self.twins.double, self._growth()
            checks.append(check_native(*both, inputs, reference, self._extended, growth))
        if self._in_field:
            with self.clock("field"):
                longer = self._extended.inputs_of(twins.native, inputs)
                outputs = self._extended.outputs
                checks.append(check_field(*both, inputs, longer, outputs))
        if certificate.insertions:
            with self.clock("learning"):
                claims, twin = certificate.insertions, self.twins.native
                checks.append(check_learning(self.target, claims, inputs, twin))
        return checks

    def _on_data(
        self, edit: Resize | Renumbering, data: Mapping[str, Any], twins: Twins
    ) -> Iterator[Check]:
        """How far outputs move on the data, and that they don't where it is said (RUN-11)."""
        old = self.twins
        assert old is not None
        yield check_on_data(old.double, twins.double, data)
        if isinstance(edit, Renumbering) and edit.silent:
            yield check_native(old.native, twins.native, data, old.double)

    @property
    def _carrying(self) -> Mapping[str, TensorChange]:
        """The tensors whose gradients and optimizer state go along with copies."""
        edits = [edit for edit in self.rewriter.resizes if not edit.inverse]
        return {name: change for edit in edits for name, change in edit.tensors.items()}

    def _belongings(self) -> dict[tuple[str, str], torch.Tensor]:
        """What belongs to the units that change, or are merged."""
        changes = {n: c for edit in self.rewriter.resizes for n, c in edit.tensors.items()}
        return belongings(self.target, self.optimizers, changes)

    def _compared(self, before: Mapping[tuple[str, str], torch.Tensor]) -> list[Check]:
        """Whether what belonged to units that changed went along with them."""
        after, missing = self._belongings(), torch.empty(0)
        changes = {
            name: (change, edit.inverse)
            for edit in self.rewriter.resizes
            for name, change in edit.tensors.items()
        }
        found = []
        for (name, entry), old in before.items():
            change, inverse = changes[name]
            new = after.get((name, entry), missing)
            found.append(Carried(name, entry, change, old, new, inverse))
        return [check_carried(found)] if found else []

    def _growth(self) -> float:
        """What the shares of copies add up to in size: so much more may be rounded (RUN-2)."""
        maps = (m for edit in self.rewriter.resizes for m in maps_of(edit.tensors))
        return max((each.growth for each in maps), default=1.0)

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
        certificate = self._certificate(old, new)
        programs = old.program, new.program
        return check_certificate(*programs, certificate, DEFAULT_TABLE, self._commits)

    def _certificate(self, before: Trace, after: Trace) -> Certificate:
        rewriter = self.rewriter
        known = (each for edit in rewriter.resizes for each in edit.attributes)
        return Certificate(
            before.program.hash,
            after.program.hash,
            (
                *(InsertionClaim(e.law, e.anchor, e.name) for e in rewriter.insertions),
                *(InsertionClaim(e.law, e.anchor, e.name, e.freezes) for e in rewriter.injections),
            ),
            tuple(_claim(edit, before.program) for edit in rewriter.resizes),
            box=next((edit.box for edit in rewriter.resizes), None),
            removals=tuple(InsertionClaim(e.law, e.anchor, e.name) for e in rewriter.removals),
            attributes=tuple(dict.fromkeys((*known, *self._followed))),
            renumbered=tuple(name for edit in rewriter.renumberings for name in edit.names),
            masked=tuple(name for edit in rewriter.renumberings for name in edit.masks),
            restarted=self._renumbered.restarted,
        )

    def _report(self, certificate: Certificate, checks: Sequence[Check]) -> Report:
        program = self.before.eval.program
        return Report(
            grade=verdict(checks),
            laws=tuple(dict.fromkeys(["CERT-5", *(edit.law for edit in self.rewriter.edits)])),
            entry_points=tuple(program.graphs),
            not_covered=program.unreached,
            checks=tuple(checks),
            notes=(
                *self._longer(),
                *program.notes,
                *self._unread(),
                *self._joining.notes,
                *self._leaving.notes,
                *self._succession.notes,
            ),
            seconds=dict(self.clock.seconds),
        )

    def _unread(self) -> Iterator[str]:
        """What may not fit the new sizes, since no entry point reads it."""
        program = self.before.eval.program
        yield from filter(None, [unread_note(self.target, program, self.rewriter.resizes)])

    def _longer(self) -> Iterator[str]:
        """What the new model takes and returns, where that is something else."""
        for name, graph in self.after.eval.program.graphs.items():
            taken = {value.name: value for value in graph.inputs}
            for verb, claims, values in (
                ("takes", self._extended.inputs, taken),
                ("returns", self._extended.outputs, dict(graph.outputs)),
            ):
                for each in claims:
                    if each.entry_point == name and each.path in values:
                        what = f"{each.path} " if each.path else ""
                        yield f"{name} now {verb} {what}{values[each.path].type}"


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


def _bounds(
    program: Program, box: Mapping[str, tuple[float, float]]
) -> dict[str, list[tuple[float, float]]]:
    anything = (-math.inf, math.inf)
    return {
        name: [box.get(value.name, anything) for value in graph.inputs]
        for name, graph in program.graphs.items()
    }


def _new_parameters(edits: Sequence[Insertion]) -> Mapping[str, nn.Parameter]:
    return {f"{e.name}.{key}": p for e in edits for key, p in e.module.named_parameters()}


def _claim(edit: Resize, program: Program) -> ResizeClaim:
    """What an edit says about a program of one mode; some outputs are returned in the other."""
    outputs = tuple(
        each
        for each in edit.outputs
        if any(path == each.path for path, _ in program.graphs[each.entry_point].outputs)
    )
    return ResizeClaim(edit.law, edit.at, edit.tensors, edit.inverse, tuple(edit.inputs), outputs)


def _check_grade(report: Report, least: Grade, entry_points: Sequence[str]) -> None:
    idle = unexercised(report.checks)
    if least is Grade.TESTED and idle is not None:
        unproved = [check.where for check in report.checks if check.where]
        raise RefusalError(
            f"the change can only be tested, and nothing was exercised: {idle.summary}",
            nodes=unproved[:1] or entry_points,
            suggestions=["example_inputs= that switch units and on which the outputs differ"],
        )
    if report.grade.rank > least.rank:
        is_lower = report.grade.rank < Grade.UNKNOWN.rank
        raise VerificationError(
            f"the change is {report.grade}, expected {least} or better, so nothing was changed",
            report=report,
            suggestions=[f"min_grade=morphir.Grade.{report.grade}"] if is_lower else [],
        )
