"""Whether the state of optimizers begins anew where numbers do, and nowhere else.

    KEPT-11   of a number that is another one now, that begins or ceases to be in use, or that is
              said to start anew, an optimizer keeps what a fresh one would: one number for all of
              them, 0 if it is a mean of gradients, or of their squares; or, where it keeps a mean
              of parameters, the number itself. Of all others it keeps what it kept, to the bit; of
              a parameter that restarts nothing, or what has counted no step yet

This looks at the numbers that were there and those that are there now, and does not know how they
were replaced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

import torch
from torch.optim import Optimizer

from morphir.ir import Check, Grade
from morphir.ir.report import counted
from morphir.tensors import unequal

# What a fresh optimizer has 0 of, by the names that entries have in every optimizer.
_FROM_ZERO: Final = (
    "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "exp_inf", "grad_avg", "square_avg", "prev",
    "momentum_buffer", "acc_delta", "step",
)  # fmt: skip
_WHOLE: Final = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by size


@final
@dataclass(frozen=True, eq=False)
class Renewed:
    """A parameter that got other numbers or another mask, and what optimizers keep of it.

    Attributes:
        parameter: Its name.
        numbers: Its numbers before and now.
        masks: Its masks before and now; ones where it has none.
        anew: Where its numbers are said to start anew, also where they are what they were.
        before: What optimizers kept of it, as `kept_of` has it.
        now: What they keep now.
        restarts: Whether it is said that nothing is kept.
    """

    parameter: str
    numbers: tuple[torch.Tensor, torch.Tensor]
    masks: tuple[torch.Tensor, torch.Tensor]
    anew: torch.Tensor | None = None
    before: Mapping[str, torch.Tensor] = field(default_factory=dict)
    now: Mapping[str, torch.Tensor] = field(default_factory=dict)
    restarts: bool = False

    @property
    def places(self) -> torch.Tensor:
        """Where it starts anew."""
        (was, is_now), (used, in_use) = self.numbers, self.masks
        found = unequal(was, is_now) | unequal(used, in_use)
        return found if self.anew is None else found | self.anew


def kept_of(parameter: torch.Tensor, optimizers: Sequence[Optimizer]) -> dict[str, torch.Tensor]:
    """The numbers that optimizers keep of a parameter, by entry."""
    return {
        f"{entry}{f' ({number})' if number else ''}": torch.as_tensor(value)
        for number, optimizer in enumerate(optimizers)
        for entry, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, torch.Tensor | int | float)
    }


def check_renewed(found: Sequence[Renewed]) -> Check:
    """Checks KEPT-11."""
    for each in found:
        problem = _complaint(each)
        if problem:
            return Check("carried", Grade.REFUTED, f"KEPT-11: {problem}", each.parameter)
    count = sum(len(each.now) for each in found)
    summary = f"{counted(count, 'tensor')} of optimizer state as fresh where numbers are new"
    return Check("carried", Grade.TESTED, summary, "", {"tensors": float(count)})


def _complaint(each: Renewed) -> str:
    if each.restarts:
        kept = [n for n, value in each.now.items() if not _is_fresh(n, value, each.numbers[1])]
        return f"{kept[0]} was to be dropped" if kept else ""
    places = each.places
    index = places.flatten().nonzero().flatten()  # mostly few
    numbers = each.numbers[1].flatten()[index]
    for entry, old in each.before.items():
        if old.shape != places.shape or entry.partition(" ")[0] == "step":
            continue  # as a count of steps, which goes on
        new = each.now.get(entry)
        if new is None or (new.shape, new.dtype) != (old.shape, old.dtype):
            return f"{entry} has gone, or has another shape or dtype"
        if not bool((_same(old, new) | places).all()):
            return f"{entry} is another one where numbers are what they were"
        if not _is_fresh(entry, new.flatten()[index], numbers):
            return f"{entry} was kept where numbers are new"
    return ""


def _same(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    """Where two tensors have the same bits."""
    if new.is_complex():
        return _same(torch.view_as_real(old), torch.view_as_real(new)).all(-1)
    whole = _WHOLE[new.element_size()]
    return ~unequal(old.contiguous().view(whole), new.contiguous().view(whole))


def _is_fresh(entry: str, kept: torch.Tensor, numbers: torch.Tensor) -> bool:
    """Whether it is what a fresh optimizer keeps of some numbers."""
    if not kept.numel():
        return True
    first = kept.flatten()[0]
    if bool((kept == first).all()):
        return entry.partition(" ")[0] not in _FROM_ZERO or not bool(first)
    return kept.shape == numbers.shape and bool((kept == numbers.to(kept)).all())
