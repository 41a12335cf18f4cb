"""What free positions hold at first: anything keeps the function, so this is about training.

BACK-10  a free position of a matrix or kernel is drawn from the normal distribution with the mean
         and the standard deviation of the old numbers of the units that stay, one of a vector is
         the mean of these; those that are asked for are 0, given ones are as given; where a split
         axis is fresh too it is 0 (AXIS-9)

Nothing here knows what a layer is. The numbers of a layer's weights have mean 0 nearly, so what is
drawn has the scale that its neighbours have by now, trained or not. A vector is a bias, a scale or
a statistic: near 0, 1 and 1, and a variance must not be negative, so these are not drawn. Units
that are started anew because they are dead have no say in it: theirs are the numbers to get away
from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from morphir.errors import RefusalError
from morphir.ir import FREE, ZERO, TensorChange
from morphir.randomness import derive_seed


def fill_free(
    new: torch.Tensor,
    old: torch.Tensor,
    change: TensorChange,
    name: str,
    spec: Mapping[str, Any],
    given: torch.Tensor | None = None,
    mask: torch.Tensor | None = None,
) -> None:
    """Puts numbers into the free positions of a changed tensor (BACK-10).

    Args:
        new: The changed tensor; its fresh positions are written to.
        old: The tensor that it was.
        change: How its axes changed.
        name: Its state entry, from which the draws derive.
        spec: `init`, which is "copy" where there are no free positions and "fresh" or "zero" where
            there are; `seed`; `zero`, the names of entries whose free positions are 0 anyway, and
            `masks`, of those where they are 1 (MASK-2).
        given: The numbers themselves: a tensor like the new one that has only the free positions
            of the one axis that has any.
        mask: Which of the old numbers are in use: the scale is that of those.

    Raises:
        RefusalError: There is no saying what they should be.
    """
    free = [(axis, found) for axis in range(new.dim()) if (found := _places(change, axis, FREE))]
    if given is not None:
        _check_given(given, new, free, name)
    elif free and name not in spec.get("masks", ()) and spec.get("init") not in ("fresh", "zero"):
        raise ValueError(f"{name} has free positions, and init={spec.get('init')!r} has none")
    like = _of_those_that_stay(old, change) if free else old
    if not like.numel():  # none stays, and there is no other scale
        like = old
    if mask is not None and free:
        used = like[(mask if like is old else _of_those_that_stay(mask, change)) != 0]
        like = used.view(-1, *[1] * (like.dim() - 1)) if len(used) else like
    for axis, positions in free:
        index = torch.tensor(positions, device=new.device)
        shape = [*new.shape[:axis], len(positions), *new.shape[axis + 1 :]]
        numbers = _drawn(like, shape, name, axis, spec) if given is None else given
        new.index_copy_(axis, index, numbers.to(new))
    for axis in range(new.dim()):
        zero = _places(change, axis, ZERO)
        if zero:
            new.index_fill_(axis, torch.tensor(zero, device=new.device), 0)


def _places(change: TensorChange, axis: int, kind: int) -> list[int]:
    found: list[int] = (change[axis].relation.source == kind).nonzero()[0].tolist()
    return found


def _of_those_that_stay(old: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The old numbers of the units that go on, along every axis."""
    for axis, each in enumerate(change):
        stay = np.unique(each.relation.source[each.relation.source >= 0])
        if len(stay) < old.shape[axis]:
            old = old.index_select(axis, torch.from_numpy(stay).to(old.device))
    return old


def _drawn(
    old: torch.Tensor, shape: list[int], name: str, axis: int, spec: Mapping[str, Any]
) -> torch.Tensor:
    if name in spec.get("masks", ()):
        return old.new_ones(shape)
    if spec["init"] == "zero" or name in spec.get("zero", ()):
        return old.new_zeros(shape)
    if not old.is_floating_point():
        raise RefusalError(
            f"{name!r} holds {old.dtype}, and what a new unit's would be is not known",
            nodes=[name],
            suggestions=["copies in place of fresh units, if no complex layer reads them"]
            if old.is_complex()
            else ["copies in place of fresh units"],
        )
    deviation, mean = torch.std_mean(_computable(old), correction=0)
    if not (math.isfinite(float(mean)) and math.isfinite(float(deviation))):
        raise RefusalError(
            f"{name!r} has no finite numbers whose scale a new unit's could have",
            nodes=[name],
            suggestions=["copies in place of fresh units"],
        )
    if old.dim() < 2:
        return mean.expand(shape)
    # On the CPU in float32, so that the draws are the same for every device and dtype.
    generator = torch.Generator("cpu").manual_seed(derive_seed(spec["seed"], name, axis))
    drawn = torch.empty(shape, dtype=torch.float32, device="cpu").normal_(generator=generator)
    return drawn.to(mean).mul_(deviation).add_(mean)


def _computable(tensor: torch.Tensor) -> torch.Tensor:
    """In float32 at least; a vector's mean in float64."""
    wide = torch.float64 if tensor.dim() < 2 else torch.promote_types(tensor.dtype, torch.float32)
    return tensor.to(wide)


def _check_given(
    given: torch.Tensor, new: torch.Tensor, free: list[tuple[int, list[int]]], name: str
) -> None:
    if len(free) != 1:
        raise ValueError(f"{name} has free positions on {len(free)} axes, and numbers for one axis")
    ((axis, positions),) = free
    shape = (*new.shape[:axis], len(positions), *new.shape[axis + 1 :])
    if given.shape != shape:
        raise ValueError(f"{name}: numbers of shape {(*given.shape,)} were given, expected {shape}")
