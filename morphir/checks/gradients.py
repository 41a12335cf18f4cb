"""Whether both models have the same gradients.

    GRAD-1  in float64, with the same random weights for the outputs, every floating-point input has
            the same gradient, to 1e-12 of its size
    GRAD-2  so has every parameter: the old gradient of a unit is at each of its parts the sum of
            the new ones over the positions that take the part (the pull-back law, STATE-15)
    GRAD-3  units that are left out contribute nothing, and the old model is taken without them:
            their numbers are 0, and biases that take constants over are those of the new one

A unit that is 0, and is read, passes gradients on to what makes it 0. Where that stays, because
others use it as well, the way through the unit ends with it, and nothing is wrong.

Where the old model's own gradients, summed alike, move as far when its parameters move by a few
units in the last place, this way or that, a difference is rounding, and not counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Final, final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from morphir.checks.calling import Arguments, doubled, entry_point_of, private_copy
from morphir.checks.comparison import numbers_in
from morphir.checks.differential import MULTIPLE_OF_MOVEMENT, SHAKES, TOLERANCE, shaken
from morphir.checks.extended import Extended
from morphir.checks.power import LiftToDouble
from morphir.checks.probes import probes
from morphir.ir import Relation, TensorChange
from morphir.ir.report import Check, Grade, counted
from morphir.randomness import kept_random_state, seed_random_state
from morphir.tensors import map_tensors

_PROBES: Final = 3  # the given inputs, and noise of two sizes
_SAME: Final = Extended()


def check_gradients(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    tensors: Mapping[str, TensorChange],
    extended: Extended = _SAME,
    *,
    inverse: bool = False,
) -> Check:
    """Checks GRAD-1 to GRAD-3 on two float64 copies, as `double_copy` makes them.

    Args:
        before: The old model.
        after: The new one.
        inputs: Entry point to arguments of the old one.
        tensors: How the axes of parameters changed, by name.
        extended: The inputs and outputs of the new one that are longer (RUN-5).
        inverse: Whether `tensors` says how to get from the new one to the old one.
    """
    if not inputs:
        return Check("gradients", Grade.UNKNOWN, "not run: there are no inputs to run it on")
    name = misfit(before, after, tensors, inverse=inverse)
    if name:
        return Check("gradients", Grade.UNKNOWN, "its axes are not those that are claimed", name)
    found = _Comparison(tensors, inverse)
    old = private_copy(before) if inverse else _reduced(before, after, tensors)
    new = private_copy(after)
    moved = [shaken(old, seed) for seed in range(SHAKES)]
    with kept_random_state():
        for name, arguments in inputs.items():
            seed_random_state(3)
            for number, (label, variation) in enumerate(probes(doubled(arguments))):
                if number == _PROBES:
                    break
                try:
                    longer = extended.arguments(after, name, variation)
                    was, *again = (_gradients(m, name, variation, _SAME) for m in (old, *moved))
                    now = _gradients(new, name, longer, extended)
                except RuntimeError as error:
                    why = f"it can't be run backwards: {error}"
                    return Check("gradients", Grade.UNKNOWN, why, name)
                found.compare(f"{name} on {label}", was, now, again)
    return found.verdict()


def _reduced(before: nn.Module, after: nn.Module, tensors: Mapping[str, TensorChange]) -> nn.Module:
    """A copy of the old model in which the numbers of what is left out are 0 (GRAD-3)."""
    old = private_copy(before)
    held, new = ({**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (old, after))
    known = [name for name in tensors if name in held and name in new]
    gone = {name: [_left_out(axis.relation) for axis in tensors[name]] for name in known}
    if not any(len(each) for axes in gone.values() for each in axes):
        return old
    with torch.no_grad():
        for name, axes in gone.items():
            for axis, units in enumerate(axes):
                held[name].index_fill_(axis, torch.from_numpy(units), 0)
            if all(axis.relation.is_identity for axis in tensors[name]):
                held[name].copy_(new[name])
    return old


def _left_out(relation: Relation) -> npt.NDArray[np.int64]:
    return np.setdiff1d(np.arange(relation.size), relation.source)


def misfit(
    before: nn.Module, after: nn.Module, tensors: Mapping[str, TensorChange], *, inverse: bool
) -> str:
    """A tensor that has other sizes than is claimed in one of the models, or ""."""
    narrow, wide = (
        {**dict(m.named_parameters()), **dict(m.named_buffers())} for m in (before, after)
    )
    if inverse:
        narrow, wide = wide, narrow
    for name, change in tensors.items():
        sizes = (narrow, [each.size for each in change]), (wide, [each.new_size for each in change])
        if any(name in held and [*held[name].shape] != claimed for held, claimed in sizes):
            return name
    return ""


@final
@dataclass(frozen=True)
class _Gradients:
    """The gradients of one run."""

    inputs: list[torch.Tensor | None]
    parameters: dict[str, torch.Tensor]


@final
@dataclass
class _Comparison:
    tensors: Mapping[str, TensorChange]
    inverse: bool
    worst: float = 0.0
    where: str = ""
    runs: int = 0
    was_left_out: bool = False
    compared: set[str] = field(default_factory=set)

    def compare(
        self, label: str, old: _Gradients, new: _Gradients, moved: Sequence[_Gradients]
    ) -> None:
        """Compares one run, and with it what the old model does if its parameters are moved."""
        findings: list[tuple[float, float, str]] = []
        for number, (was, now) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            if was is not None and now is not None:
                part = tuple(slice(size) for size in was.shape)
                own = max(_distance(was, each.inputs[number]) for each in moved)
                findings.append((_distance(was, now[part]), own, f"{label}: input {number}"))
        for name, one in old.parameters.items():
            other = new.parameters.get(name)
            if other is None:
                continue
            expected, pulled = self._pulled_back(name, one, other)
            if expected.shape == pulled.shape:
                again = (self._pulled_back(name, m.parameters[name], other)[0] for m in moved)
                own = max(_distance(expected, each) for each in again)
                findings.append((_distance(expected, pulled), own, f"{label}: {name}"))
                self.compared.add(name)
        if not all(math.isfinite(found) for found, _, _ in findings):
            self.was_left_out = True
            return
        self.runs += 1
        for found, own, where in findings:
            is_rounding = TOLERANCE < found <= MULTIPLE_OF_MOVEMENT * own
            if found > self.worst and not is_rounding:
                self.worst, self.where = found, where

    def _pulled_back(
        self, name: str, old: torch.Tensor, new: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Two gradients in the same terms: one number for each part that is taken."""
        change = self.tensors.get(name)
        if change is None:
            return old, new
        wide, narrow = (old, new) if self.inverse else (new, old)
        for axis, each in enumerate(change):
            if not each.relation.is_identity:
                wide, narrow = _along(each.relation, axis, wide, narrow)
        return (wide, narrow) if self.inverse else (narrow, wide)

    def verdict(self) -> Check:
        """The outcome."""
        figures = {"runs": float(self.runs), "worst": self.worst}
        if self.worst > TOLERANCE:
            summary = f"GRAD-2: a gradient differs by {self.worst:.1e} of its size"
            return Check("gradients", Grade.REFUTED, summary, self.where, figures)
        if not self.runs or not self.compared:
            why = "no run had finite gradients" if self.was_left_out else "no parameter is in both"
            return Check("gradients", Grade.UNKNOWN, f"nothing could be compared: {why}")
        summary = f"{counted(len(self.compared), 'parameter')} and the inputs have the same"
        summary += f" gradients in {counted(self.runs, 'run')}"
        return Check("gradients", Grade.TESTED, summary, "", figures)


def _along(
    relation: Relation, axis: int, wide: torch.Tensor, narrow: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """New gradients summed at each part, old ones repeated for each part of a unit."""
    take = torch.from_numpy(relation.take)
    taken = (take >= 0).nonzero().flatten()
    count = int(take.max()) + 1  # parts that nobody takes come last
    shape = [*wide.shape]
    shape[axis] = count
    summed = wide.new_zeros(shape).index_add(axis, take[taken], wide.index_select(axis, taken))
    return summed, narrow.index_select(axis, torch.from_numpy(relation.group[:count]))


def _gradients(model: nn.Module, name: str, arguments: Arguments, extended: Extended) -> _Gradients:
    leaves: list[torch.Tensor] = []

    def leaf(tensor: torch.Tensor) -> torch.Tensor:
        copied = tensor.detach().clone()
        leaves.append(copied.requires_grad_() if copied.is_floating_point() else copied)
        return copied

    args, kwargs = map_tensors(arguments, leaf)
    parameters = {
        name: parameter.requires_grad_()
        for name, parameter in model.named_parameters()
        if parameter.is_floating_point()
    }
    seed_random_state(1)
    with LiftToDouble(), torch.enable_grad():
        result: Any = extended.seen(name, entry_point_of(model, name)(*args, **kwargs))
        loss = _weighted(numbers_in(result))
        wanted = [*(each for each in leaves if each.requires_grad), *parameters.values()]
        found = iter(torch.autograd.grad(loss, wanted, allow_unused=True))
    of_inputs = [next(found) if each.requires_grad else None for each in leaves]
    of_parameters = {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }
    return _Gradients(of_inputs, of_parameters)


def _weighted(outputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A random weighting of everything that carries a gradient, the same for the same outputs."""
    terms = []
    for number, tensor in enumerate(each for _, each in sorted(outputs.items())):
        if tensor.requires_grad and tensor.is_floating_point():
            generator = torch.Generator().manual_seed(number)
            weights = torch.randn(tensor.shape, generator=generator)
            terms.append((tensor.double() * weights.to(tensor.device)).sum())
    if not terms:
        raise RuntimeError("no output carries a gradient")
    return reduce(torch.add, terms)


def _distance(old: torch.Tensor, new: torch.Tensor | None) -> float:
    """The largest difference, relative to the largest number."""
    if new is None or not old.numel():
        return 0.0
    size, gap = float(old.abs().max()), float((old - new).abs().max())
    return gap / size if size else gap
