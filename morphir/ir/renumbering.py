"""The edit that gives state other numbers, or says which numbers are in use; axes stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch


@final
@dataclass(frozen=True, eq=False)
class Renumbering:
    """New masks of parameters, of which some may have had none, and new numbers.

    Attributes:
        at: What was asked for, for messages.
        law: The law that it follows.
        masks: Parameter to its new mask, in the parameter's dtype.
        spec: JSON-ready description.
        numbers: State entry to its new numbers, for those that are not just 0 where the mask is
            now; they are 0 behind masks.
        anew: State entry to where its numbers start anew, also where they are what they were: what
            optimizers keep of them starts anew as well.
        keeps: Whether it claims to keep the function.
        data: Inputs of entry points on which the change of the function is measured, and graded
            `EMPIRICAL`, if it claims to be small there.
        silent: Whether it claims to change nothing at all on the data but roundings.
        most: Parameter to how many of its numbers cease to be in use at most; any where it is not
            named.
        first: The parameters that had no mask before; the rewriter knows.
        restarts: Whether what optimizers keep of these parameters goes, steps and all.
    """

    at: str
    law: str
    masks: Mapping[str, torch.Tensor]
    spec: Mapping[str, Any]
    numbers: Mapping[str, torch.Tensor] = field(default_factory=dict)
    anew: Mapping[str, torch.Tensor] = field(default_factory=dict)
    keeps: bool = True
    data: Mapping[str, Any] | None = None
    silent: bool = False
    most: Mapping[str, int] = field(default_factory=dict)
    first: tuple[str, ...] = ()
    restarts: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The entries that change."""
        return tuple(dict.fromkeys((*self.masks, *self.numbers)))
