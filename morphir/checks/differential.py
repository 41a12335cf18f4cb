"""Runs both models in float64 and compares what they return.

    RUN-1   in float64, on adversarial inputs, every floating-point output agrees to 1e-12 of the
            size of its element and row, everything else exactly; an input counts only if the old
            model itself moves less when its parameters move by a few units in the last place

Unlike the certificate this sees the real modules: hooks, buffers, kernels, code generation. It
reports its power: how many inputs, and which share of the units they switched on and off. What is
promised is about finite intermediates, so on made-up inputs a difference counts only if every
tensor on the way was finite; on the given ones it always counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from morphir.checks.beyond_rounding import Rounding, beyond_rounding
from morphir.checks.calling import (
    Arguments,
    call_entry_point,
    doubled,
    private_copy,
)
from morphir.checks.comparison import Findings
from morphir.checks.counterexample import simplest, single_row, written
from morphir.checks.extended import Extended
from morphir.checks.power import LiftToDouble, SwitchRecord
from morphir.checks.probes import GIVEN, probes, waking_probes
from morphir.ir.report import Check, Grade, counted
from morphir.ops import OpTable
from morphir.randomness import kept_random_state, seed_random_state
from morphir.tensors import real_parts, tensors_in

TOLERANCE: Final = 1e-12  # RUN-1
_SHAKE: Final = 2.0**-50  # 4 ulps
MULTIPLE_OF_MOVEMENT: Final = 8.0
SHAKES: Final = 4  # what one moves by is small by chance too often
_SHOWN: Final = 0.1  # of the largest difference, on simpler inputs
_SAME: Final = Extended()


def check_double(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    table: OpTable,
    extended: Extended = _SAME,
) -> Check:
    """Checks RUN-1 on two float64 copies, as `double_copy` makes them.

    Args:
        before: The old model.
        after: The new one.
        inputs: Entry point to arguments of the old one.
        table: The op declarations.
        extended: The inputs and outputs of the new one that are longer (RUN-5).
    """
    run = _DoubleRun(before, after, table, extended)
    with kept_random_state():
        for entry_point, arguments in inputs.items():
            double = doubled(arguments)
            seed_random_state(2)
            for label, variation in [*probes(double)]:
                run.compare(entry_point, label, variation)
            run.compare_with_bounds(entry_point, double)
            try:
                for label, variation in waking_probes(before, entry_point, double, run.record):
                    run.compare(entry_point, label, variation)
            except Exception as error:  # a model that cannot be run with gradients has other probes
                run.failures.append(f"{entry_point}, waking units: {error}")
        run.narrow()
    return run.verdict()


@final
class _DoubleRun:
    """The comparisons of one check."""

    def __init__(
        self, before: nn.Module, after: nn.Module, table: OpTable, extended: Extended
    ) -> None:
        self._before, self._after, self._extended = before, after, extended
        self.record = SwitchRecord(table)
        self.failures: list[str] = []
        self._findings = Findings()
        self._not_finite = self._unstable = 0  # probes that are left out
        self._shaken: nn.Module | None = None
        self._found: tuple[str, str, Arguments] | None = None  # where they differ most
        self._rounding: dict[str, tuple[Rounding, Arguments]] = {}
        self._is_beyond_rounding = False

    def compare(self, entry_point: str, label: str, arguments: Arguments) -> None:
        """Runs both models on one variation."""
        where = f"{entry_point} on {label}"
        try:
            with self.record, LiftToDouble():
                self.record.start_run(entry_point)
                old = call_entry_point(self._before, entry_point, arguments)
        except Exception as error:
            self.failures.append(f"{where}: {type(error).__name__}: {error}")
            return
        trial = self._compare_with(old, entry_point, label, arguments)
        if trial is None:
            return
        if trial.worst > max(TOLERANCE, self._findings.worst):
            self._found = entry_point, label, arguments
        self._findings.merge(trial)

    def _compare_with(
        self, old: Any, entry_point: str, label: str, arguments: Arguments
    ) -> Findings | None:
        """How far the new model is from what the old one returned; None where that is not fair."""
        where, trial = f"{entry_point} on {label}", Findings()
        try:
            with LiftToDouble():
                longer = self._extended.arguments(self._after, entry_point, arguments)
                new = call_entry_point(self._after, entry_point, longer)
            old, new = (self._extended.seen(entry_point, each) for each in (old, new))
        except Exception as error:
            trial.found(float("inf"), f"{where}: only the new model raises {error}")
            return trial
        is_fair = trial.add(where, old, new)
        if trial.worst > TOLERANCE and label != GIVEN:
            is_fair = is_fair and self._is_finite(entry_point, arguments)
        if is_fair and trial.worst > TOLERANCE:
            own = self._own_movement(old, entry_point, arguments)
            if math.isfinite(own) and trial.worst <= MULTIPLE_OF_MOVEMENT * own:
                self._unstable += 1
                return None
        if not is_fair:
            self._not_finite += 1
            return None
        return trial

    def _own_movement(self, old: Any, entry_point: str, arguments: Arguments) -> float:
        """How far the old model's outputs move if its parameters move by a few ulps."""
        if self._shaken is None:
            self._shaken = shaken(self._before)
        found = Findings()
        with LiftToDouble():
            again = call_entry_point(self._shaken, entry_point, arguments)
        found.add(entry_point, old, self._extended.seen(entry_point, again))
        return found.worst

    def compare_with_bounds(self, entry_point: str, arguments: Arguments) -> None:
        """Asks whether rounding can explain the differences on the given inputs (RUN-9)."""
        if self._findings.worst <= TOLERANCE:
            self._rounding[entry_point] = self._bounded(entry_point, arguments), arguments

    def _bounded(self, entry_point: str, arguments: Arguments) -> Rounding:
        try:
            longer = self._extended.arguments(self._after, entry_point, arguments)
            models, given = (self._before, self._after), (arguments, longer)
            return beyond_rounding(models, entry_point, given, self._extended)
        except Exception:  # whatever it is, the other runs have said so
            return Rounding(bound=math.inf)

    def narrow(self) -> None:
        """Reduces what was found to one row and to simple numbers, if these are enough."""
        if self._found is None:
            return
        entry_point, label, arguments = self._found

        def differs(given: Arguments, label: str = label, least: float = 0.0) -> bool:
            try:
                with LiftToDouble():
                    old = call_entry_point(self._before, entry_point, given)
                trial = self._compare_with(old, entry_point, label, given)
            except Exception:  # it may need more rows
                return False
            return trial is not None and trial.worst > TOLERANCE and trial.worst >= least

        arguments = single_row(arguments, differs)
        clearly = partial(differs, label="simpler numbers", least=_SHOWN * self._findings.worst)
        arguments = simplest(arguments, clearly)
        self._found = entry_point, label, arguments
        self._is_beyond_rounding = self._bounded(entry_point, arguments).beyond is not None

    def _is_finite(self, entry_point: str, arguments: Arguments) -> bool:
        watch = _FiniteWatch()
        with watch, LiftToDouble():
            call_entry_point(self._before, entry_point, arguments)
        return watch.is_finite

    def verdict(self) -> Check:
        """The outcome."""
        found, share = self._findings, self.record.share
        figures = {"inputs": float(found.inputs), "worst": found.worst}
        if share is not None:
            figures["switched"] = share
        if found.worst > TOLERANCE:
            assert self._found is not None
            given = self._found[2]
            size = f" of {found.worst:.1e}" if math.isfinite(found.worst) else ""
            summary = f"a difference{size} on one of {counted(max(found.inputs, 1), 'input')}"
            if size and self._is_beyond_rounding:
                summary += ", more than rounding can explain"
            example = written(given)
            return Check("float64", Grade.REFUTED, summary, found.where, figures, example, given)
        if not found.inputs:
            why = self.failures[0] if self.failures else "no output was finite"
            return Check("float64", Grade.UNKNOWN, f"nothing could be compared: {why}", "", figures)
        bounds = [rounding.bound for rounding, _ in self._rounding.values()]
        if bounds and math.isfinite(max(bounds)):
            figures["rounding"] = max(bounds)
        for name, (rounding, given) in self._rounding.items():
            if rounding.beyond is not None:
                return _unexplained(name, rounding, given, figures)
        return self._agreement(figures)

    def _agreement(self, figures: dict[str, float]) -> Check:
        found, share = self._findings, self.record.share
        summary = "no difference" if found.is_exact else f"worst difference {found.worst:.1e}"
        summary += f" on {counted(found.inputs, 'input')}"
        if share is not None:
            summary += f", {100 * share:.0f} % of the piecewise units switched"
        if self._not_finite:
            many = counted(self._not_finite, "probe")
            summary += f"; {many} left out, not finite on the way"
        if self._unstable:
            many = counted(self._unstable, "probe")
            summary += f"; {many} left out, on which rounding alone moves the old model as far"
        if not found.has_varied:
            summary += "; but the outputs never changed"
            return Check("float64", Grade.UNKNOWN, summary, "", figures)
        if share == 0:  # nothing is known of what reads them
            return Check("float64", Grade.UNKNOWN, summary, "", figures)
        return Check("float64", Grade.TESTED, summary, "", figures)


def _unexplained(
    entry_point: str, rounding: Rounding, given: Arguments, figures: dict[str, float]
) -> Check:
    """The outcome where RUN-9 does not hold."""
    where = f"{entry_point} on {GIVEN}: output {rounding.beyond!r}"
    summary = (
        f"a difference of {rounding.difference:.1e}, of which rounding explains no more than "
        f"{rounding.allowed:.1e}"
    )
    return Check("float64", Grade.REFUTED, summary, where, figures, written(given), given)


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """A copy of a float64 model whose parameters are a few units in the last place off."""
    copied = private_copy(model)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                sign = torch.randint(2, parameter.shape, generator=generator) * 2 - 1
                parameter.mul_(1 + sign.to(parameter) * _SHAKE)
    return copied


@final
class _FiniteWatch(TorchFunctionMode):
    """Notes whether every tensor that was computed is finite."""

    def __init__(self) -> None:
        super().__init__()
        self.is_finite = True

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        with torch._C.DisableTorchFunction():
            for tensor in (real_parts(each) for _, each in tensors_in(result)):
                if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
                    self.is_finite = False
        return result
