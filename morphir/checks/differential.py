"""Runs both models and compares what they return.

    RUN-1   in float64, on adversarial inputs, every floating-point output agrees to 1e-12 of the
            size of its element and row, everything else exactly; an input counts only if the old
            model itself moves less when its parameters move by a few units in the last place
    RUN-2   in the stored dtype, on the given inputs, the new model is at most twice as far from the
            float64 result as the old one (three times for 16-bit types, ten times for a handful of
            numbers), or as the rounding of the result, times what the shares of copies add up to in
            size; where there is no better result, it returns the same bits, or in float64 numbers
            as close as RUN-1 wants them

Unlike the certificate this sees the real modules: hooks, buffers, kernels, code generation. It
reports its power: how many inputs, and which share of the units they switched on and off. What is
promised is about finite intermediates, so on made-up inputs a difference counts only if every
tensor on the way was finite; on the given ones it always counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from morphir.checks.calling import (
    Arguments,
    Observation,
    call_entry_point,
    doubled,
    observe,
    private_copy,
)
from morphir.checks.comparison import Findings, distance, numbers_in, rms
from morphir.checks.counterexample import single_row, written
from morphir.checks.extended import Extended
from morphir.checks.power import LiftToDouble, SwitchRecord
from morphir.checks.probes import GIVEN, probes, waking_probes
from morphir.ir.report import Check, Grade, counted
from morphir.ops import OpTable
from morphir.randomness import kept_random_state, seed_random_state
from morphir.tensors import real_parts, tensors_in

TOLERANCE: Final = 1e-12  # RUN-1
_SHAKE: Final = 2.0**-50  # 4 ulps
_MULTIPLE_OF_MOVEMENT: Final = 8.0
_MULTIPLE: Final = 2.0  # RUN-2
_MULTIPLE_OF_SHORT: Final = 3.0
_MULTIPLE_OF_FEW: Final = 10.0
_FEW: Final = 10
_DOUBLE: Final = (torch.float64, torch.complex128)
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
        self._left_out = self._unstable = 0
        self._shaken: nn.Module | None = None
        self._found: tuple[str, str, Arguments] | None = None  # where they differ most

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
            self._left_out += 1
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
        if is_fair and TOLERANCE < trial.worst < math.inf:
            own = self._own_movement(old, entry_point, arguments)
            if math.isfinite(own) and trial.worst <= _MULTIPLE_OF_MOVEMENT * own:
                self._unstable += 1
                return None
        return trial if is_fair else None

    def _own_movement(self, old: Any, entry_point: str, arguments: Arguments) -> float:
        """How far the old model's outputs move if its parameters move by a few ulps."""
        if self._shaken is None:
            self._shaken = shaken(self._before)
        found = Findings()
        with LiftToDouble():
            again = call_entry_point(self._shaken, entry_point, arguments)
        found.add(entry_point, old, self._extended.seen(entry_point, again))
        return found.worst

    def narrow(self) -> None:
        """Reduces what was found to one row, if that is enough."""
        if self._found is None:
            return
        entry_point, label, arguments = self._found

        def differs(given: Arguments) -> bool:
            try:
                with LiftToDouble():
                    old = call_entry_point(self._before, entry_point, given)
                trial = self._compare_with(old, entry_point, label, given)
            except Exception:  # it may need more rows
                return False
            return trial is not None and trial.worst > TOLERANCE

        self._found = entry_point, label, single_row(arguments, differs)

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
            example = written(given)
            return Check("float64", Grade.REFUTED, summary, found.where, figures, example, given)
        if not found.inputs:
            why = self.failures[0] if self.failures else "no output was finite"
            return Check("float64", Grade.UNKNOWN, f"nothing could be compared: {why}", "", figures)
        summary = "no difference" if found.is_exact else f"worst difference {found.worst:.1e}"
        summary += f" on {counted(found.inputs, 'input')}"
        if share is not None:
            summary += f", {100 * share:.0f} % of the piecewise units switched"
        if self._left_out > self._unstable:
            many = counted(self._left_out - self._unstable, "probe")
            summary += f"; {many} left out, not finite on the way"
        if self._unstable:
            many = counted(self._unstable, "probe")
            summary += f"; {many} left out, on which rounding alone moves the old model as far"
        if not found.has_varied:
            summary += "; but the outputs never changed"
            return Check("float64", Grade.UNKNOWN, summary, "", figures)
        return Check("float64", Grade.TESTED, summary, "", figures)


def shaken(model: nn.Module) -> nn.Module:
    """A copy of a float64 model whose parameters are a few units in the last place off."""
    copied = private_copy(model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in copied.parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                sign = torch.randint(0, 2, parameter.shape, generator=generator) * 2 - 1
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


def check_native(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    reference: nn.Module | None = None,
    extended: Extended = _SAME,
    growth: float = 1.0,
) -> Check:
    """Checks RUN-2, and says whether the new model returns the same bits.

    Args:
        before: A private copy of the old model, in the stored dtype.
        after: One of the new model.
        inputs: Entry point to arguments of the old one.
        reference: A float64 copy of the old model, to tell which of two results is the better one.
        extended: The inputs and outputs of the new one that are longer (RUN-5).
        growth: What the shares of the copies of a unit add up to in size: 5/4 and -1/4 of a number
            are rounded like one and a half.
    """
    longer = extended.inputs_of(after, inputs)
    old, new = (
        extended.of(observe(model.eval(), given))
        for model, given in ((before, inputs), (after, longer))
    )
    found = _compare_native(old, new)
    figures = {"inputs": float(found.inputs), "worst": found.worst}
    if found.is_exact and not found.inputs:
        failed = [f"{name}: {what}" for name, what in old.failures.items()]
        why = failed[0] if failed else "no output is finite"
        return Check("native", Grade.UNKNOWN, f"nothing could be compared: {why}", "", figures)
    if found.is_exact:
        summary = f"the same bits on {counted(found.inputs, 'input')}"
        return Check("native", Grade.TESTED, summary, "", figures)
    exact = None
    if reference is not None:
        exact = extended.of(observe(reference, inputs, in_double=True))
    for name, result in old.results.items():
        lifted = None if exact is None else exact.results.get(name)
        complaint = _complaint(result, new.results.get(name), lifted, growth)
        if complaint is None:
            summary = "other bits, and no better result to say whether they are worse"
            return Check("native", Grade.UNKNOWN, summary, found.where, figures)
        if complaint:
            given = inputs[name]
            example = written(given)
            return Check("native", Grade.REFUTED, complaint, found.where, figures, example, given)
    inputs_in_words = counted(found.inputs, "input")
    summary = f"other bits (worst {found.worst:.1e}), no less accurate on {inputs_in_words}"
    return Check("native", Grade.TESTED, summary, "", figures)


def _compare_native(old: Observation, new: Observation) -> Findings:
    found = Findings()
    for name, result in old.results.items():
        if name in new.failures:
            found.found(float("inf"), f"{name}: only the new model raises {new.failures[name]}")
        else:
            found.add(name, result, new.results[name])
    return found


def _complaint(old: Any, new: Any, reference: Any, growth: float) -> str | None:
    """What is wrong with the new numbers, "" if nothing, None if that can't be told."""
    was, now, exact = numbers_in(old), numbers_in(new), numbers_in(reference)
    if was.keys() != now.keys():
        return "another structure is returned"
    for path, tensor in was.items():
        other, true = now[path], exact.get(path)
        if torch.equal(tensor, other):
            continue
        if tensor.shape != other.shape or tensor.dtype != other.dtype:
            return f"output {path!r} has another type"
        if not (tensor.is_floating_point() or tensor.is_complex()):
            return f"output {path!r} differs, and holds no fractions"
        if tensor.dtype in _DOUBLE:  # no better result says which of two is the worse one
            if distance(tensor, other) > TOLERANCE:
                return None
            continue
        if true is None or true.shape != tensor.shape:
            return None
        tensor, other, true = map(real_parts, (tensor, other, true))
        error, own = rms(other.double() - true), rms(tensor.double() - true)
        rounding = torch.finfo(tensor.dtype).eps * rms(true)
        limit = _multiple(tensor) * growth * max(own, rounding)
        if not error <= limit or not bool((tensor.isfinite() <= other.isfinite()).all()):
            return f"output {path!r} is {error:.1e} from its float64 result, the old one {own:.1e}"
    return ""


def _multiple(tensor: torch.Tensor) -> float:
    if tensor.numel() <= _FEW:
        return _MULTIPLE_OF_FEW
    short = tensor.dtype in (torch.float16, torch.bfloat16)
    return _MULTIPLE_OF_SHORT if short else _MULTIPLE
