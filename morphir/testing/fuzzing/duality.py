"""Gradients and moments of changed axes, by dense matrices and nothing else.

FUZZ-4  with new = M old for values, whatever free positions hold, gradients are
        old = M^T new  (the chain rule), and what was transported is  new = f(N) old,  where N
        has the shares where M has ones and ones where M has the shares
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Final

import torch

from morphir.ir import TensorChange
from morphir.ir.change import Added, AxisChange, Mapped, Multiplied
from morphir.testing.fuzzing.optimizers import Kind

_SCALE: Final[Mapping[Kind, Callable[[torch.Tensor], torch.Tensor]]] = {
    "gradient": torch.Tensor.clone,
    "squared": torch.square,
    "magnitude": torch.abs,
    "update": torch.sign,
    "update_size": lambda share: share.sign().abs(),
}


def pulled_back(new: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The gradient of the old tensor that a gradient of the new one comes to.

    Args:
        new: The gradient of the new one.
        change: How its axes changed.
    """
    return _along([_matrix(each, shared="split").T for each in change], new)


def transported(
    old: torch.Tensor, change: TensorChange, kind: Kind, start: float = 0.0
) -> torch.Tensor:
    """What an optimizer would hold for the new tensor.

    Args:
        old: What it holds for the old one.
        change: How its axes changed.
        kind: What its numbers are.
        start: What they are before the first gradient.
    """
    matrices = [_SCALE[kind](_matrix(each, shared="copy")) for each in change]
    return _along(matrices, old.double() - start) + start


def kept(old: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """Which of the old numbers are still there.

    Args:
        old: A tensor of the old shape.
        change: How its axes changed.
    """
    matrices = [torch.diag(_matrix(each, shared="split").abs().sum(0)) for each in change]
    return _along(matrices, torch.ones_like(old, dtype=torch.float64)) != 0


def _along(matrices: list[torch.Tensor], tensor: torch.Tensor) -> torch.Tensor:
    """A tensor, each of its axes multiplied by a matrix."""
    found = tensor.double()
    for axis, matrix in enumerate(matrices):
        found = torch.tensordot(matrix, found, dims=([1], [axis])).movedim(0, axis)
    return found


def _matrix(change: AxisChange, shared: str) -> torch.Tensor:
    """A row for each new position, a column for each old one."""
    match change:
        case Multiplied(factors=factors):
            return reduce(torch.kron, [_matrix(each, shared) for each in factors])
        case Added(terms=terms):
            return reduce(_beside, [_matrix(each, shared) for each in terms])
        case Mapped(size=size, map=axis_map, polarity=polarity):
            if axis_map is None:
                return torch.eye(size, dtype=torch.float64)
            found = torch.zeros(len(axis_map.source), size, dtype=torch.float64)
            for new, (old, share) in enumerate(zip(axis_map.source, axis_map.share, strict=True)):
                if old >= 0:
                    found[new, old] = float(share) if polarity == shared else 1.0
            return found


def _beside(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """One block after the other on the diagonal."""
    (rows, columns), (more, others) = first.shape, second.shape
    found = first.new_zeros(rows + more, columns + others)
    found[:rows, :columns] = first
    found[rows:, columns:] = second
    return found
