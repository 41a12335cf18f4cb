"""What a forward in train mode leaves behind.

    RUN-8   in train mode and float64, after one forward on the given inputs, every floating-point
            buffer that both models have is the same, to 1e-12 of its size; where its axes changed,
            each position that belongs to a unit has what the unit had; those of another shape of
            which nothing is claimed are left out, and masks, which no forward reads (MASK-3)

Where the forward draws random numbers (dropout), the two models draw other ones, and nothing can be
compared. A buffer that moves as far in the old model alone, when its parameters move by a few units
in the last place, holds rounding (the mean of what was normalised before), and is not compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, final

import torch
from torch import nn

from morphir.checks.calling import Arguments, call_entry_point, doubled, private_copy
from morphir.checks.comparison import distance
from morphir.checks.differential import MULTIPLE_OF_MOVEMENT, SHAKES, TOLERANCE, shaken
from morphir.checks.extended import Extended
from morphir.checks.gradients import misfit
from morphir.checks.power import LiftToDouble
from morphir.ir import TensorChange
from morphir.ir.masks import mask_name
from morphir.ir.report import Check, Grade, counted
from morphir.randomness import host_has_drawn, kept_random_state, seed_random_state

_SEED: Final = 1  # with which `call_entry_point` begins
_SAME: Final = Extended()


def check_statistics(
    before: nn.Module,
    after: nn.Module,
    inputs: Mapping[str, Arguments],
    tensors: Mapping[str, TensorChange],
    extended: Extended = _SAME,
    *,
    inverse: bool = False,
) -> Check:
    """Checks RUN-8 on two float64 copies, as `double_copy` makes them.

    Args:
        before: The old model.
        after: The new one.
        inputs: Entry point to arguments of the old one.
        tensors: How the axes of buffers changed, by name.
        extended: The inputs of the new one that are longer (RUN-5).
        inverse: Whether `tensors` says how to get from the new one to the old one.
    """
    name = misfit(before, after, tensors, inverse=inverse)
    if name:
        return Check("statistics", Grade.UNKNOWN, "its axes are not those that are claimed", name)
    old, new = (private_copy(model).train() for model in (before, after))
    with kept_random_state(), LiftToDouble():
        for name, arguments in inputs.items():
            given = doubled(arguments)
            try:
                call_entry_point(old, name, given)
                if _has_drawn():
                    why = "the forward draws random numbers"
                    return Check("statistics", Grade.UNKNOWN, f"nothing could be compared: {why}")
                call_entry_point(new, name, extended.arguments(after, name, given))
            except Exception as error:
                return Check("statistics", Grade.UNKNOWN, f"not run in train mode: {error}", name)
    moved = _Moved(before, inputs)
    return _compare(old, new, tensors, moved, inverse=inverse)


@final
class _Moved:
    """What a forward leaves in the old model if its parameters are a little off."""

    def __init__(self, before: nn.Module, inputs: Mapping[str, Arguments]) -> None:
        self._before, self._inputs = before, inputs

    @cached_property
    def _models(self) -> list[nn.Module]:
        """Those of the shaken copies that run: a forward may refuse other parameters."""
        models = [shaken(self._before, seed).train() for seed in range(SHAKES)]
        with kept_random_state(), LiftToDouble():
            return [model for model in models if self._runs(model)]

    def _runs(self, model: nn.Module) -> bool:
        try:
            for name, arguments in self._inputs.items():
                call_entry_point(model, name, doubled(arguments))
        except Exception:  # whatever it is, it says nothing about rounding
            return False
        return True

    def explains(self, name: str, buffer: torch.Tensor, found: tuple[float, float]) -> bool:
        """Whether a buffer moves as far as was found, in both ways of measuring that."""
        own = [_difference(buffer, model.get_buffer(name)) for model in self._models]
        most = [max(each) for each in zip((0.0, 0.0), *own, strict=True)]
        return all(a <= MULTIPLE_OF_MOVEMENT * b for a, b in zip(found, most, strict=True))


def _difference(old: torch.Tensor, new: torch.Tensor) -> tuple[float, float]:
    """Relative to the size of the buffer, and as it is: what is 0 has no size."""
    return distance(old, new), float((old - new).abs().max())


def _has_drawn() -> bool:
    state = torch.get_rng_state()
    drawn_here = host_has_drawn(_SEED)
    seed_random_state(_SEED)
    return drawn_here or not torch.equal(state, torch.get_rng_state())


def _compare(
    old: nn.Module,
    new: nn.Module,
    tensors: Mapping[str, TensorChange],
    moved: _Moved,
    *,
    inverse: bool,
) -> Check:
    others, worst, where, compared = dict(new.named_buffers()), 0.0, "", 0
    masked = {mask_name(name): parameter for name, parameter in old.named_parameters()}
    for name, buffer in old.named_buffers():
        other = others.get(name)
        if other is None or not buffer.is_floating_point():
            continue
        if name in masked and buffer.shape == masked[name].shape:
            continue
        if name not in tensors and other.shape != buffer.shape:
            continue  # nobody says which units are which
        pair = (other, buffer) if inverse else (buffer, other)
        for axis, change in enumerate(tensors.get(name, ())):
            source = torch.from_numpy(change.relation.source)
            taken = (source >= 0).nonzero().flatten()
            pair = pair[0].index_select(axis, source[taken]), pair[1].index_select(axis, taken)
        found = distance(*pair)
        if found > TOLERANCE and moved.explains(name, buffer, _difference(*pair)):
            continue
        compared += 1
        if found > worst:
            worst, where = found, name
    figures = {"buffers": float(compared), "worst": worst}
    if worst > TOLERANCE:
        summary = f"RUN-8: a buffer differs by {worst:.1e} after a forward in train mode"
        return Check("statistics", Grade.REFUTED, summary, where, figures)
    if not compared:
        return Check(
            "statistics", Grade.UNKNOWN, "no floating-point buffer of one shape is in both models"
        )
    summary = f"{counted(compared, 'buffer')} are the same after a forward in train mode"
    return Check("statistics", Grade.TESTED, summary, "", figures)
