"""Which weights of dormant units cease to be used, of a network with masks.

    PRUNE-6   of each masked parameter those numbers are candidates that are in use and come from a
              dormant unit or lead to one; at most as many as are allowed, random ones, cease to be
              used, and the dormant units that lost one start anew (PRUNE-3)

This is what Neuroplastic Expansion prunes (Liu et al. 2025, section 4.2): the bound is a share of
what the same layer has just grown by, so that a network can't lose more than it gains. What is
pruned may be brought into use again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch

from morphir.errors import RefusalError
from morphir.ir import Program
from morphir.passes.anew import Anew, Tensors, mask_of
from morphir.passes.units import Units
from morphir.randomness import derive_seed


class Truncated(NamedTuple):
    """What ceases to be used.

    Attributes:
        masks: Parameter to its mask from now on, where that is another one.
        anew: The units that lost a weight.
    """

    masks: Tensors
    anew: Anew


def truncated(
    program: Program, dormant: Anew, most: Mapping[str, int] | None, seed: int
) -> Truncated:
    """Chooses weights of dormant units at random (PRUNE-6).

    Args:
        program: The program.
        dormant: The dormant units of each axis.
        most: Parameter to how many of its numbers may cease to be used, by default all; 0 for those
            that are not named.
        seed: Seed of the choice.

    Raises:
        RefusalError: Nothing is masked, or what is named isn't.
    """
    masked = {name: mask for name in program.state if (mask := mask_of(program, name)) is not None}
    unknown = [name for name in most or () if name not in masked]
    if unknown or not masked:
        raise RefusalError(
            f"weights= names {unknown[0]!r}, which has no mask" if unknown else "nothing is masked",
            nodes=unknown[:1] or [units.name for units, _ in dormant],
            suggestions=[
                f"weights={dict.fromkeys(masked, 10)}"
                if masked
                else "morphir.SparsifyPass(density=0.25) first"
            ],
        )
    places = [
        (units, term.tensor, term.axis, term.units, gone)
        for units, gone in dormant
        for term in units.stored
        if isinstance(term.tensor, str)
    ]
    touched: dict[str, torch.Tensor] = {}
    for _, name, axis, labels, gone in places:
        mask = masked.get(name)
        if mask is not None:
            shape = [-1 if each == axis else 1 for each in range(mask.dim())]
            of_them = torch.from_numpy(np.isin(labels, gone)).to(mask.device).view(shape)
            known = touched.setdefault(name, torch.zeros_like(mask, dtype=torch.bool))
            known |= of_them & (mask != 0)
    pruned = {
        name: _drawn(each, each.numel() if most is None else most.get(name, 0), name, seed)
        for name, each in touched.items()
    }
    lost: dict[Units, set[int]] = {}
    for units, name, axis, labels, gone in places:
        if name in pruned:
            others = [each for each in range(pruned[name].dim()) if each != axis]
            along = pruned[name].any(dim=others) if others else pruned[name]
            found = {*labels[along.numpy(force=True)].tolist()}
            lost.setdefault(units, set()).update(found.intersection(gone))
    masks = {name: masked[name] * ~each for name, each in pruned.items() if bool(each.any())}
    return Truncated(masks, [(units, sorted(found)) for units, found in lost.items() if found])


def told_pruned(program: Program, masks: Tensors) -> Iterator[str]:
    """Says how many weights cease to be used."""
    for name, mask in masks.items():
        old = mask_of(program, name)
        assert old is not None
        yield (
            f"{name}: {int((old - mask).sum())} weights cease to be used, density "
            f"{float(old.mean()):.3g} -> {float(mask.mean()):.3g}"
        )


def _drawn(candidates: torch.Tensor, most: int, name: str, seed: int) -> torch.Tensor:
    """At most so many of the candidates, at random."""
    places = candidates.flatten().nonzero().flatten().cpu()
    generator = torch.Generator().manual_seed(derive_seed(seed, name, len(places)))
    chosen = places[torch.randperm(len(places), generator=generator)[:most]]
    found = torch.zeros(candidates.numel(), dtype=torch.bool)
    return found.index_fill_(0, chosen, True).view(candidates.shape).to(candidates.device)
