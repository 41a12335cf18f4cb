"""What is known of masks where axes change.

    MASK-3  a mask that is no exact copy has a 1 only where the old one has; and behind every mask
            whose parameter changes there are zeros

Read backwards, a merger widens the merged mask, which has a 1 where one of several had. So the
masks of copies may be smaller, and nothing is lost by that: no forward reads them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import product

import numpy as np
import torch

from morphir.checks.rejection import Rejection
from morphir.ir import Program, Relation
from morphir.ir.masks import complaint


def newly_used(
    old: torch.Tensor | None, new: torch.Tensor | None, relations: Sequence[Relation]
) -> str:
    """Says that a mask has a 1 where the old one has a 0, or "" (MASK-3)."""
    if old is None or new is None:
        return "a mask has no numbers"
    for axis, relation in enumerate(relations):
        positions = np.flatnonzero(relation.source >= 0)
        units = relation.source[positions]
        new = new.index_select(axis, torch.as_tensor(positions, device=new.device))
        old = old.index_select(axis, torch.as_tensor(units, device=old.device))
    return "" if bool((new <= old).all()) else "it has a 1 where the old mask has a 0"


def check_masked(before: Program, after: Program, names: Collection[str]) -> None:
    """Checks that parameters that change are 0 behind their masks, in both programs.

    Raises:
        Rejection: One is not, or its mask is none (MASK-3).
    """
    for program, name in product((before, after), sorted(names)):
        entry = program.state.get(name)
        if entry is None or not entry.mask:
            continue
        parameter, mask = entry.tensor, program.state[entry.mask].tensor
        if parameter is not None and mask is not None and complaint(parameter, mask):
            raise Rejection(f"MASK-3: {complaint(parameter, mask)}", f"@{name}")
