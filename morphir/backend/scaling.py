"""What belongs to a number of a parameter, a gradient or a moment, when axes change.

Gradients change contrary to values: what is copied shares the gradient of the old number, and every
part of a split one has all of it.

    STATE-11  a gradient is  share g[source]  on a copied axis and  g[source]  on a split one; what
              has degree d in the gradient is scaled as that: squares by share^2, sizes by |share|,
              updates by the sign of the share, sizes of updates not at all; all of it counted from
              where a fresh optimizer starts, mostly 0, which fresh positions hold
    STATE-18  where copies are merged, a gradient is the sum over what was copied and that of any
              part of what was split; what has another degree is what it was before the copies
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import torch

from morphir.backend.splitting import along, copies_of
from morphir.backend.strides import laid_out_as
from morphir.ir import Mapped, TensorChange
from morphir.ir.change import Shares
from morphir.ir.relation import Indices

ScaledKind = Literal["gradient", "squared", "magnitude", "update", "update_size"]

_SCALE: Final[Mapping[ScaledKind, Callable[[Shares], Shares]]] = {
    "gradient": lambda share: share,
    "squared": np.square,
    "magnitude": np.abs,
    "update": np.sign,
    "update_size": np.ones_like,
}
_Merge = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
# What the copies of a unit come to, along the last axis, with the signs of their shares. Rounding
# may leave a square a little below its start.
_MERGED: Final[Mapping[ScaledKind, _Merge]] = {
    "gradient": lambda each, sign, start: each.sum(-1),
    "squared": lambda each, sign, start: (
        ((each - start).clamp(min=0).sqrt() * sign).sum(-1).square() + start
    ),
    "magnitude": lambda each, sign, start: (each * sign).sum(-1).abs(),
    "update": lambda each, sign, start: (each * sign).mean(-1),
    "update_size": lambda each, sign, start: each.mean(-1),
}


def scaled(
    tensor: torch.Tensor, change: TensorChange, kind: ScaledKind, start: float = 0.0
) -> torch.Tensor:
    """A tensor with a number for each of a parameter's, after the parameter's axes changed.

    Args:
        tensor: As it was.
        change: How the axes of the parameter change.
        kind: What its numbers are.
        start: What they are before the first gradient.
    """
    if tensor.is_complex():  # torch keeps moments of both parts
        parts = torch.view_as_real(tensor.resolve_conj())
        return torch.view_as_complex(scaled(parts, (*change, Mapped(2)), kind, start))
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    changed = [(axis, each) for axis, each in enumerate(change) if not each.relation.is_identity]
    new = tensor
    for axis, each in changed:
        new = _select(new, axis, np.maximum(each.relation.source, 0))
        scale = torch.as_tensor(_SCALE[kind](each.shares("copy")), dtype=dtype)
        if not (scale == 1).all():
            scale = scale.to(new.device).reshape(-1, *[1] * (new.dim() - 1 - axis))
            new.mul_(scale)
            if start:
                new.add_((1 - scale) * start)
    for axis, each in changed:
        places = (each.relation.source < 0).nonzero()[0]
        new.index_fill_(axis, _index(places, new), start)
    return laid_out_as(new, tensor)


def pulled_back(
    tensor: torch.Tensor, change: TensorChange, kind: ScaledKind, start: float = 0.0
) -> torch.Tensor:
    """A tensor with a number for each of a parameter's, after its copies were merged (STATE-18).

    Args:
        tensor: As it was.
        change: How the axes of the parameter as it is now would become what they were.
        kind: What its numbers are.
        start: What they are before the first gradient.
    """
    if tensor.is_complex():
        parts = torch.view_as_real(tensor.resolve_conj())
        return torch.view_as_complex(pulled_back(parts, (*change, Mapped(2)), kind, start))

    def part(tensor: torch.Tensor, atom: Mapped, axis: int) -> torch.Tensor:
        assert atom.map is not None
        copies = copies_of(atom.map)
        found = _select(tensor, axis, np.array([each[0] for each in copies]))
        for unit, positions in enumerate(copies if atom.polarity == "copy" else []):
            if len(positions) > 1:
                share = torch.tensor([float(atom.map.share[p]) for p in positions]).to(tensor)
                several = _select(tensor, axis, np.array(positions)).movedim(axis, -1)
                sign = share.sign()
                found.select(axis, unit).copy_(_MERGED[kind](several, sign, start))
        return found

    new = tensor
    for axis, each in reversed([*enumerate(change)]):
        new = along(new, each, axis, part, reverse=True)
    return laid_out_as(new, tensor)


def _select(tensor: torch.Tensor, axis: int, positions: Indices) -> torch.Tensor:
    if not tensor.shape[axis]:
        shape = [*tensor.shape[:axis], len(positions), *tensor.shape[axis + 1 :]]
        return tensor.new_zeros(shape)
    return tensor.index_select(axis, _index(positions, tensor))


def _index(positions: Indices, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(positions, dtype=torch.int64, device=tensor.device)
