"""Whether a model has the numbers and masks that an edit gives it, and keeps to what it says.

    KEPT-12   after an edit that gives numbers and masks a model has these, to the bit; what is not
              given is what it was, but 0 behind a mask; behind every mask there are zeros; and no
              more numbers cease to be in use than was said

Of a change that means to change the function no proof says that it is this change and no other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from morphir.checks.bits import equal_bits
from morphir.ir import Check, Grade
from morphir.ir.masks import complaint
from morphir.ir.report import counted


@final
@dataclass(frozen=True, eq=False)
class Given:
    """A parameter or buffer to which numbers or a mask were given.

    Attributes:
        name: Its name.
        numbers: Its numbers before and now.
        masks: Its masks before and now; ones where it has none.
        given: The numbers that it was to get, None where only a mask was.
        mask: The mask that it was to get, None where only numbers were.
        most: How many numbers were to cease to be in use at most, None for any.
    """

    name: str
    numbers: tuple[torch.Tensor, torch.Tensor]
    masks: tuple[torch.Tensor, torch.Tensor]
    given: torch.Tensor | None
    mask: torch.Tensor | None
    most: int | None = None


def check_given(found: Sequence[Given]) -> Check:
    """Checks KEPT-12."""
    for each in found:
        problem = _complaint(each)
        if problem:
            return Check("numbers", Grade.REFUTED, f"KEPT-12: {problem}", each.name)
    masks = sum(each.mask is not None for each in found)
    summary = f"{counted(len(found), 'tensor')} and {counted(masks, 'mask')} as planned"
    return Check("numbers", Grade.TESTED, summary, "", {"tensors": float(len(found))})


def _complaint(each: Given) -> str:
    (was, now), (used, in_use) = each.numbers, each.masks
    if not torch.equal(in_use, used if each.mask is None else each.mask.to(used)):
        return "its mask is not the one that was planned"
    behind = complaint(now, in_use)
    if behind:
        return behind
    off = in_use == 0
    if each.given is not None:
        same = equal_bits(now, each.given.to(was))
    else:  # the sign of a zero behind a mask is nobody's
        same = equal_bits(now, was) or equal_bits(now.masked_fill(off, 0), was.masked_fill(off, 0))
    if not same:
        return "its numbers are not those that were planned"
    if each.most is not None:
        gone = int(((used != 0) & off).sum())
        if gone > each.most:
            return f"{gone} of its numbers cease to be in use, where {each.most} may"
    return ""
