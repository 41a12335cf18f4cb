"""What belongs to a number of a parameter, a gradient or a moment, when axes change.

Gradients change contrary to values: what is copied shares the gradient of the old number, and every
part of a split one has all of it.

    STATE-11  a gradient is  share g[source]  on a copied axis and  g[source]  on a split one; what
              has degree d in the gradient is scaled as that: squares by share^2, sizes by |share|,
              updates by the sign of the share, sizes of updates not at all; fresh positions hold
              what a fresh optimizer has, mostly 0
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal

import numpy as np
import torch

from morphir.backend.strides import laid_out_as
from morphir.ir import TensorChange
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


def scaled(
    tensor: torch.Tensor, change: TensorChange, kind: ScaledKind, fresh: float = 0.0
) -> torch.Tensor:
    """A tensor with a number for each of a parameter's, after the parameter's axes changed.

    Args:
        tensor: As it was.
        change: How the axes of the parameter change.
        kind: What its numbers are.
        fresh: What they are at fresh positions.
    """
    dtype = torch.promote_types(tensor.dtype, torch.float32)
    changed = [(axis, each) for axis, each in enumerate(change) if not each.relation.is_identity]
    new = tensor
    for axis, each in changed:
        new = _select(new, axis, np.maximum(each.relation.source, 0))
        scale = torch.as_tensor(_SCALE[kind](each.shares("copy")), dtype=dtype)
        if not (scale == 1).all():
            new.mul_(scale.to(new.device).reshape(-1, *[1] * (new.dim() - 1 - axis)))
    for axis, each in changed:
        places = (each.relation.source < 0).nonzero()[0]
        new.index_fill_(axis, _index(places, new), fresh)
    return laid_out_as(new, tensor)


def _select(tensor: torch.Tensor, axis: int, positions: Indices) -> torch.Tensor:
    if not tensor.shape[axis]:
        shape = [*tensor.shape[:axis], len(positions), *tensor.shape[axis + 1 :]]
        return tensor.new_zeros(shape)
    return tensor.index_select(axis, _index(positions, tensor))


def _index(positions: Indices, tensor: torch.Tensor) -> torch.Tensor:
    return torch.as_tensor(positions, dtype=torch.int64, device=tensor.device)
