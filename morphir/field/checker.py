"""The field checker: runs two models modulo random primes and compares what they return.

    FIELD-7  models that are equal by rules that the field has too return the same residues
    FIELD-8  models that differ return other residues, but for a share of the inputs that the page
             of these laws bounds

It needs no certificate, and shares neither the op table nor the recorder with the other checkers:
it runs the modules themselves. A difference is never a counterexample, since a rule that the field
does not have may explain it: it is `UNKNOWN`, with the first module that returns something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Final, NoReturn, final

import torch
from torch import nn
from torch.distributions import Distribution

from morphir.cloning import clone
from morphir.field.inputs import Arguments, batch_size, different_rows, draw_arguments
from morphir.field.kernels import KERNELS
from morphir.field.modular import PrimeField, Unsupported
from morphir.field.reading import Unread
from morphir.field.residues import Gates, Residues, Run
from morphir.field.trail import Trail
from morphir.ir import Check, Extension, Grade
from morphir.ir.report import counted
from morphir.randomness import kept_random_state, seed_random_state
from morphir.tensors import tensors_in

Results = dict[str, torch.Tensor]

ROWS: Final = 32  # FIELD-8
_PRIMES: Final = 2
_HOW: Final[Mapping[Gates, str]] = {
    "free": ", whatever its piecewise functions are",
    "square": ", squares standing for positive numbers",
}


def check_field(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    longer: Mapping[str, Arguments] | None = None,
    outputs: Sequence[Extension] = (),
    *,
    seed: int = 0,
) -> Check:
    """Compares two models on at least 32 random inputs, modulo two primes.

    Args:
        before: The old model; it is copied.
        after: The new one; it is copied.
        inputs: Entry point to arguments of the old one: their shapes, and the whole numbers that
            may be among them.
        longer: The same for the new one, where its inputs have positions behind the old ones.
        outputs: The outputs of the new one that have.
        seed: Of the primes, and by them of everything that is drawn.

    Returns:
        A check with the grade `TESTED`, or `UNKNOWN`, with what stood in the way or the first
        module that returns something else.
    """
    checks = []
    with kept_random_state(), _plain_kernels():
        for gates in ("free", "square"):
            attempt = _Attempt(before, after, gates, outputs, seed)
            checks.append(attempt.check(inputs, longer or inputs))
            if checks[-1].grade is Grade.TESTED:
                break
    return checks[-1]


@final
class _Stop(Exception):  # noqa: N818
    """Ends an attempt."""

    def __init__(self, summary: str, where: str, **figures: float) -> None:
        super().__init__()
        self.check = Check("field", Grade.UNKNOWN, summary, where, figures)


@final
@dataclass(frozen=True)
class _Side:
    """Two models with their numbers modulo one prime."""

    run: Run
    models: tuple[nn.Module, nn.Module]
    trails: tuple[Trail, Trail]

    @classmethod
    def of(cls, seed: int, gates: Gates, *models: nn.Module) -> _Side:
        run = Run(PrimeField.drawn(seed), gates, KERNELS)
        old, new = (_lifted(model, run) for model in models)
        return cls(run, (old, new), (Trail(old), Trail(new)))


@final
@dataclass(frozen=True)
class _Entry:
    """An entry point, and arguments of the old model and of the new one."""

    name: str
    given: Arguments
    longer: Arguments


@final
@dataclass(frozen=True)
class _Drawing:
    """Which keyed functions and which inputs: other numbers, other ones."""

    functions: int
    inputs: int
    flipped: int = 0


@final
class _Attempt:
    """A comparison in which one thing stands for piecewise functions."""

    def __init__(
        self,
        before: nn.Module,
        after: nn.Module,
        gates: Gates,
        outputs: Sequence[Extension],
        seed: int,
    ) -> None:
        self._models, self._gates, self._outputs = (before, after), gates, outputs
        self._seeds = [_PRIMES * seed + number for number in range(_PRIMES)]
        self._moves = True  # whole numbers may stand in another order
        self._rows: dict[str, int] = {}

    def check(self, inputs: Mapping[str, Arguments], longer: Mapping[str, Arguments]) -> Check:
        """Compares all entry points."""
        if not inputs:
            return Check("field", Grade.UNKNOWN, "not run: there are no inputs to run it on")
        rows = 0
        try:
            for seed in self._seeds:
                side = _Side.of(seed, self._gates, *self._models)
                for name, given in inputs.items():
                    rows += self._compare(side, _Entry(name, given, longer[name]))
        except _Stop as stop:
            return stop.check
        except Unsupported as error:  # a parameter that has no residue
            return Check("field", Grade.UNKNOWN, f"not run: {error}")
        summary = f"the same residues on {counted(rows, 'input')} modulo {_PRIMES} primes"
        figures = {"inputs": float(rows), "primes": float(_PRIMES)}
        return Check("field", Grade.TESTED, summary + _HOW[self._gates], figures=figures)

    def _compare(self, side: _Side, entry: _Entry) -> int:
        """Compares one entry point, and says on how many inputs."""
        inputs = 0
        for number in count():
            old = self._agreed(side, entry, _Drawing(number, number))
            if entry.name not in self._rows:
                self._rows[entry.name] = self._count_rows(side, entry, old)
            inputs += self._rows[entry.name]
            if _PRIMES * inputs >= ROWS:
                break
        return inputs

    def _count_rows(self, side: _Side, entry: _Entry, old: Results) -> int:
        """How many inputs one drawing is: the rows, if those in another order are as many results.

        Raises:
            _Stop: Other inputs make no difference.
        """
        size = batch_size(entry.given, entry.longer)
        moved = self._agreed(side, entry, _Drawing(0, 0, flipped=size))
        is_moved = all(_is_flipped(moved[path], old[path], size) for path in old)
        if is_moved and not _all_same(moved, old):
            return different_rows(entry.given, size)
        if _all_same(self._agreed(side, entry, _Drawing(0, 1)), old):
            raise _Stop("FIELD-8: the outputs never changed", entry.name)
        return 1

    def _agreed(self, side: _Side, entry: _Entry, drawing: _Drawing) -> Results:
        """What both models return.

        Raises:
            _Stop: It is not the same, or one can't be run.
        """
        old, new = self._run(side, entry, drawing)
        if old.keys() != new.keys():
            raise _Stop("FIELD-7: another structure is returned", entry.name, differs=1)
        if not _all_same(old, new):
            self._stop_at_difference(side, entry, drawing)
        return old

    def _stop_at_difference(self, side: _Side, entry: _Entry, drawing: _Drawing) -> NoReturn:
        for trail in side.trails:
            trail.seen = {}
        self._run(side, entry, drawing)
        old, new = side.trails
        place = old.first_difference(new) or "what it returns"
        prime = side.run.field.prime
        raise _Stop(f"FIELD-7: other residues modulo {prime}", f"{entry.name}: {place}", differs=1)

    def _run(self, side: _Side, entry: _Entry, drawing: _Drawing) -> tuple[Results, Results]:
        """What both models return on one drawing of the inputs."""
        found: list[Results] = []
        moves = self._moves and any((drawing.inputs, drawing.flipped))
        side.run.begin(f"inputs {drawing.inputs}")
        arguments = draw_arguments(
            entry.given, entry.longer, side.run, shuffled=moves and not drawing.flipped,
            flipped=drawing.flipped if moves else 0,
        )  # fmt: skip
        for model, trail, each in zip(side.models, side.trails, arguments, strict=True):
            side.run.begin(f"functions {drawing.functions}")
            trail.inside.clear()
            try:
                found.append(_call(model, entry.name, each, side.run))
            except Exception as error:
                if moves and not found:  # these whole numbers may not occur
                    self._moves = False
                    return self._run(side, entry, drawing)
                what = str(error) if isinstance(error, Unsupported) else repr(error)
                raise _Stop(f"not run: {what}", f"{entry.name}: {trail.place}") from error
        old, new = found
        for claim in self._outputs:
            if claim.entry_point == entry.name and claim.path in new:
                new[claim.path] = new[claim.path].narrow(claim.axis, 0, claim.size)
        return old, new


def _lifted(model: nn.Module, run: Run) -> nn.Module:
    """A copy in eval mode with residues in the place of floats."""
    lifts = [
        *((run.field.lift, tensor) for tensor in model.parameters()),
        *((run.lift, tensor) for tensor in model.buffers()),  # masks have infinities
    ]
    memo: dict[int, Any] = {
        id(tensor): Residues(lift(tensor), tensor.dtype, run)
        for lift, tensor in lifts
        if tensor.is_floating_point() or tensor.is_complex()
    }
    copied, _ = clone(model, memo)
    return copied.eval()


def _call(model: nn.Module, name: str, arguments: Arguments, run: Run) -> Results:
    """The residues that an entry point returns, and its other tensors, by path."""
    owner, _, method = name.rpartition(".")
    module = model.get_submodule(owner)
    args, kwargs = arguments
    seed_random_state(1)
    with torch.no_grad(), run, Unread():
        result = (
            module(*args, **kwargs)
            if method == "forward"
            else getattr(module, method)(*args, **kwargs)
        )
    return {
        path: each.residues if isinstance(each, Residues) else each
        for path, each in tensors_in(result)
    }


def _all_same(these: Results, others: Results) -> bool:
    return all(_same(each, others[path]) for path, each in these.items())


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return one.dtype == other.dtype and torch.equal(one, other)


def _is_flipped(one: torch.Tensor, other: torch.Tensor, size: int) -> bool:
    """Whether a tensor is the other one in reversed order along an axis of this size."""
    axes = [axis for axis, length in enumerate(other.shape) if length == size]
    return any(_same(one, other.flip(axis)) for axis in axes)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Has torch spell its layers out, and distributions take any numbers for parameters."""
    libraries: tuple[Any, ...] = torch.backends.mkldnn, torch.backends.cudnn
    enabled = [library.enabled for library in libraries]
    fast, validated = torch.backends.mha.get_fastpath_enabled(), Distribution._validate_args
    try:
        for library in libraries:
            library.enabled = False
        torch.backends.mha.set_fastpath_enabled(False)
        Distribution.set_default_validate_args(False)
        yield
    finally:
        for library, was_enabled in zip(libraries, enabled, strict=True):
            library.enabled = was_enabled
        torch.backends.mha.set_fastpath_enabled(fast)
        Distribution.set_default_validate_args(validated)
