"""Applies passes to a model: trace, rewrite, emit, trace again, check, and only then hand over."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict, Unpack, final, overload

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.backend.copying import attached_optimizers, duplicate
from morphir.checks import Inventory, Original
from morphir.errors import RefusalError
from morphir.ir import Certificate, Grade, Report, Rewriter
from morphir.lineage import lineage_of
from morphir.lockstep import check_lockstep, check_same_changes, optimizers_by_model
from morphir.passes.base import MorphismPass
from morphir.pipeline import Application
from morphir.recordings import Clock, Recording, Traces, Twins
from morphir.result import TransformResult
from morphir.stages import (
    Passes,
    Said,
    as_passes,
    check_model,
    check_writable,
    next_edits,
    stages_of,
    told,
)
from morphir.state.optimizer import optimizers_over
from morphir.state.transport import StateRules

_COPIED: Final = 64_000_000  # parameters up to which a model is copied where it changes in place


class _Options(TypedDict, total=False):
    optimizer: Any
    example_inputs: Any
    entry_points: Sequence[str]
    inplace: bool


class _MoreOptions(_Options, total=False):
    recording: Recording | None
    min_grade: Grade | None
    checks: Sequence[str] | None
    state_rules: StateRules | None


@overload
def apply(model: nn.Module, pass_: Passes, **options: Unpack[_Options]) -> nn.Module: ...


@overload
def apply(
    model: Sequence[nn.Module], pass_: Passes, **options: Unpack[_Options]
) -> list[nn.Module]: ...


def apply(
    model: nn.Module | Sequence[nn.Module],
    pass_: Passes,
    *,
    optimizer: Any = None,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
    inplace: bool = False,
) -> nn.Module | list[nn.Module]:
    """Returns the changed model, checked; `transform` also returns all that is known about it.

    Args:
        model: Any module; or a list of modules of one structure, which change in lockstep.
        pass_: A pass or a list of passes, applied in order.
        optimizer: With `inplace=True`, the optimizer (or several) that should take the new
            parameters.
        example_inputs: A tuple of positional arguments for all entry points, or a dict from entry
            point to a tuple or to `(args, kwargs)`. Not needed where inputs follow from what is
            known about the model.
        entry_points: What must keep its function: methods (`get_value`), submodules (`encoder`).
        inplace: Edit the caller's model instead of a copy.

    Returns:
        A module of the same class; for a list of models a list of them.

    Raises:
        RefusalError: The model does not fit the pass; nothing changed.
        VerificationError: A check failed; nothing changed.

    Example:
        >>> import torch, morphir
        >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2))
        >>> grown = morphir.apply(net, morphir.DeeperPass(at="1"))
        >>> list(grown._modules)
        ['0', '1', '1_deeper1', '2']
    """
    if optimizer is not None and not inplace:
        raise RefusalError(
            "apply returns only the model, so the new optimizer would be lost",
            suggestions=[
                "result = morphir.transform(...), which has .module and .optimizer",
                "inplace=True",
            ],
        )
    result = transform(
        model,
        pass_,
        optimizer=optimizer,
        example_inputs=example_inputs,
        entry_points=entry_points,
        inplace=inplace,
    )
    return [each.module for each in result] if isinstance(result, list) else result.module


@overload
def transform(
    model: nn.Module, pass_: Passes, **options: Unpack[_MoreOptions]
) -> TransformResult: ...


@overload
def transform(
    model: Sequence[nn.Module], pass_: Passes, **options: Unpack[_MoreOptions]
) -> list[TransformResult]: ...


def transform(
    model: nn.Module | Sequence[nn.Module],
    pass_: Passes,
    *,
    optimizer: Any = None,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
    inplace: bool = False,
    recording: Recording | None = None,
    min_grade: Grade | None = None,
    checks: Sequence[str] | None = None,
    state_rules: StateRules | None = None,
) -> TransformResult | list[TransformResult]:
    """Applies passes and returns the model with its optimizer, report, certificate and lineage.

    Args:
        model: Any module; or a list of modules of one structure, which change in lockstep: with the
            same draws, all or none.
        pass_: A pass or a list of passes, applied in order. Those in a row that insert are checked
            together, each that changes sizes on its own.
        optimizer: Any `torch.optim.Optimizer` over the model, or a list of them. Existing
            parameters keep group, options and state; new ones join the group of the layer they
            follow. Optimizers that hang on the model itself are carried too.
        example_inputs: A tuple of positional arguments for all entry points, or a dict from entry
            point to a tuple or to `(args, kwargs)`, as in
            `{"forward": ((), {"input_ids": ids})}`. Not needed where inputs follow from what is
            known about the model, or a pass has `data=`.
        entry_points: What must keep its function: methods (`get_value`), submodules (`encoder`).
        inplace: Edit the caller's model and optimizers instead of copies. A failure undoes
            everything.
        recording: `.recording` of an earlier result with this model. While nothing but numbers
            changes, in training and by passes such as `MaskGrowPass`, the model is not recorded
            again, and `example_inputs` are those of then (MASK-10).
        min_grade: Raise below this grade; by default below what the passes claim.
        checks: `("certificate",)` leaves out the runs, for which the model is copied in its own
            dtype and in float64; `("certificate", "runs")` makes them. By default they are made,
            except in place for a model of more than 64 million parameters. With `"field"` as well
            both models are compared with exact arithmetic (FIELD-7), which takes longer.
        state_rules: For optimizers that are not torch's own, and passes that change sizes: the
            optimizer's class to what each entry of its state is (`{"exp_avg": "gradient"}`), as
            spec/state.md lists it.

    Returns:
        A `TransformResult`; for a list of models a list of them, in the same order.

    Raises:
        RefusalError: The model does not fit a pass, or the optimizer not the model; nothing
            changed.
        VerificationError: A check failed; nothing changed.
    """
    passes = as_passes(pass_)
    _least(min_grade, passes)
    _check_checks(checks)
    settings = _Settings(
        passes, example_inputs, entry_points, inplace, recording, min_grade, checks, state_rules
    )
    # The caller may be in the middle of acting, where tensors that are made can't be trained.
    with torch.inference_mode(False), torch.enable_grad(), ExitStack() as stages:
        if not isinstance(model, Sequence):
            return _transform(model, optimizer, settings, stages)
        check_lockstep(model, optimizer, inplace=inplace)
        shares = optimizers_by_model(model, optimizer)
        pasts = [len(lineage_of(each).steps) for each in model]
        results = [
            _transform_one_of(number, each, own, settings, stages)
            for number, (each, own) in enumerate(zip(model, shares, strict=True))
        ]
        check_same_changes(results, pasts)
        return results


@final
@dataclass(frozen=True)
class _Settings:
    """What a caller asked for, whatever the model."""

    passes: Sequence[MorphismPass]
    example_inputs: Any
    entry_points: Sequence[str]
    inplace: bool
    recording: Recording | None
    min_grade: Grade | None
    checks: Sequence[str] | None
    state_rules: StateRules | None

    def recorded(self, model: nn.Module, now: Inventory) -> Traces:
        """The recordings of the model, of which an inventory was just taken."""
        known = self.recording and self.recording.of(model, now, self.entry_points)
        if known:
            return known
        traces = Traces.of(model, self.example_inputs, self.entry_points)
        data = next((d for p in self.passes if (d := getattr(p, "data", None)) is not None), None)
        if data is not None and len(traces.eval.inputs) < len(self.entry_points):
            with suppress(RefusalError):  # the pass says what is wrong with them
                return Traces.of(model, data, self.entry_points)
        return traces

    def why_not_run(self, model: nn.Module, before: Traces) -> str:
        """Why the model is not run before and after, or ""."""
        if not before.eval.inputs:
            return "there are no inputs to run it on"
        if self.checks is not None:
            return "" if "runs" in self.checks else "checks= leaves it out"
        size = sum(parameter.numel() for parameter in model.parameters())
        if not self.inplace or size <= _COPIED:
            return ""
        millions = f"{size / 1e6:,.0f} million"
        return f"a model of {millions} parameters is not copied in place; checks=(..., 'runs') does"


def _transform(
    model: nn.Module, optimizer: Any, settings: _Settings, stages: ExitStack
) -> TransformResult:
    """Transforms one model; what undoes it is left on the stack."""
    check_model(model)
    if settings.inplace:
        check_writable(model)
    optimizers = optimizers_over(model, optimizer, attached_optimizers(model))
    clock = Clock()
    inputs, entry_points = settings.example_inputs, settings.entry_points
    with clock("inventory"):
        original = Original.of(model, optimizers)
    with clock("trace"):
        before = settings.recorded(model, original.inventory)
    waiting = stages_of(settings.passes)
    rewriter, idle, said = next_edits(waiting, before, clock)
    with clock("copy"):
        copied = None if settings.inplace else duplicate(model, optimizers)
        is_idle = settings.inplace and not rewriter.edits
        not_run = "nothing changes" if is_idle else settings.why_not_run(model, before)
        _check_measured(rewriter, not_run, _least(settings.min_grade, settings.passes))
        twins = None if not_run else Twins.of(model)
    target = model if copied is None else copied.model
    carried = optimizers if copied is None else copied.optimizers
    notes = [*(copied.notes if copied is not None else ())]
    has_new = bool(rewriter.insertions or rewriter.injections)
    if settings.inplace and not carried and has_new:
        notes.append("no optimizer was given, so none has the new parameters")
    if settings.inplace and not carried and rewriter.removals:
        notes.append("no optimizer was given: one that holds what is gone goes on holding it")
    since, found = original.inventory, []
    while True:
        application = Application(
            target, carried, before, twins, rewriter, original, since, clock,
            settings.state_rules, not_run, in_field="field" in (settings.checks or ()),
        )  # fmt: skip
        stages.enter_context(application)
        grade = _least(settings.min_grade, [each for each, _ in said])
        report, certificate, lineage = application.run(inputs, entry_points, grade)
        found.append((_complete(report, [*idle, *said], notes), certificate))
        if not waiting:
            break
        before, twins, notes = application.after, application.new_twins, []
        since = application.inventory
        rewriter, idle, said = next_edits(waiting, before, clock)
        if not rewriter.edits:  # nothing is left to check
            report, certificate = found.pop()
            found.append((_and_also(report, [*idle, *said]), certificate))
            break
    return TransformResult(
        target,
        _as_given(optimizer, optimizers, carried),
        _joined([each for each, _ in found], clock),
        _chained([each for _, each in found]),
        lineage,
        Recording.taken(target, application.after, application.inventory),
    )


def _transform_one_of(
    number: int, model: nn.Module, optimizer: Any, settings: _Settings, stages: ExitStack
) -> TransformResult:
    """Transforms one of several models; a refusal says which one it is about."""
    try:
        return _transform(model, optimizer, settings, stages)
    except RefusalError as refusal:
        reason, nodes, suggestions = refusal.reason, refusal.nodes, refusal.suggestions
        reason = f"model {number} of the list: {reason}"
        raise RefusalError(reason, nodes=nodes, suggestions=suggestions) from refusal


def _check_measured(rewriter: Rewriter, not_run: str, least: Grade) -> None:
    """Refuses a change of the function that nothing would measure, unless that is asked for."""
    unmeasured = [e for e in rewriter.renumberings if not e.keeps and e.data is None]
    if unmeasured and not_run and least.rank < Grade.UNKNOWN.rank:
        raise RefusalError(
            f"how far this changes the outputs is to be measured, and can't be: {not_run}",
            nodes=[unmeasured[0].at],
            suggestions=[
                "checks=('certificate', 'runs')" if "checks=" in not_run else "example_inputs=(x,)",
                "min_grade=morphir.Grade.UNKNOWN",
            ],
        )


def _joined(reports: Sequence[Report], clock: Clock) -> Report:
    """One report about applications that followed one another."""
    last = reports[-1]
    return replace(
        last,
        grade=Grade.weakest([each.grade for each in reports]),
        passes=tuple(text for each in reports for text in each.passes),
        laws=tuple(dict.fromkeys(law for each in reports for law in each.laws)),
        checks=tuple(check for each in reports for check in each.checks),
        notes=tuple(dict.fromkeys(note for each in reports for note in each.notes)),
        seconds=dict(clock.seconds),
    )


def _chained(certificates: Sequence[Certificate]) -> Certificate:
    if len(certificates) == 1:
        return certificates[0]
    return Certificate(certificates[0].before, certificates[-1].after, steps=tuple(certificates))


def _and_also(report: Report, said: Said) -> Report:
    return replace(report, passes=(*report.passes, *told(said)))


def _complete(report: Report, said: Said, notes: Sequence[str]) -> Report:
    return replace(report, passes=told(said), notes=(*report.notes, *notes))


def _check_checks(checks: Any) -> None:
    known = [("certificate",), ("certificate", "runs"), ("certificate", "runs", "field")]
    if checks is None or (not isinstance(checks, str) and {*checks} in map(set, known)):
        return
    expected = " or ".join(map(str, known))
    raise RefusalError(
        f"checks={checks!r}, expected {expected}", suggestions=[f"checks={known[1]}"]
    )


def _least(min_grade: Any, passes: Sequence[MorphismPass]) -> Grade:
    if min_grade is None:
        return Grade.weakest([each.claim for each in passes])
    if not isinstance(min_grade, Grade):
        raise RefusalError(
            f"min_grade is {min_grade!r}, expected a morphir.Grade",
            suggestions=["min_grade=morphir.Grade.TESTED"],
        )
    return min_grade


def _as_given(given: Any, before: Sequence[Optimizer], carried: Sequence[Optimizer]) -> Any:
    """The carried optimizers in the form in which the caller gave them."""
    now = {id(old): new for old, new in zip(before, carried, strict=True)}
    if isinstance(given, list | tuple):
        return [now[id(each)] for each in given]
    if given is not None:
        return now[id(given)]
    return [*carried] if len(carried) > 1 else next(iter(carried), None)
