"""What a forward in train mode leaves behind.

    RUN-8   in train mode and float64, after one forward on the given inputs, every floating-point
            buffer that both models have is the same, to 1e-12 of its size; where its axes changed,
            each position that belongs to a unit has what the unit had; those of another shape of
            which nothing is claimed are left out, and masks, which no forward reads (MASK-3)

Where the forward draws random numbers (dropout), the two models draw other ones, and nothing can be
compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from morphir.checks.calling import Arguments, call_entry_point, doubled, private_copy
from morphir.checks.comparison import distance
from morphir.checks.differential import TOLERANCE
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
    return _compare(old, new, tensors, inverse=inverse)


def _has_drawn() -> bool:
    state = torch.get_rng_state()
    drawn_here = host_has_drawn(_SEED)
    seed_random_state(_SEED)
    return drawn_here or not torch.equal(state, torch.get_rng_state())


def _compare(
    old: nn.Module, new: nn.Module, tensors: Mapping[str, TensorChange], *, inverse: bool
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
        compared += 1
        found = distance(*pair)
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
