"""Biases that take over the units that are constants.

BACK-14  a bias takes over a constant c of its input as  b + sum over taps of w[:, i] c, in
         float64, rounded once
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch

from morphir.ir import Fold


def folded(folds: Iterable[Fold], numbers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The biases after constants were folded into them, in float64 (BACK-14).

    Args:
        folds: What is folded.
        numbers: State entry to its numbers, before axes change.
    """
    found: dict[str, torch.Tensor] = {}
    for fold in folds:
        weight, bias = numbers[fold.weight].double(), numbers[fold.bias].double()
        taps = weight.flatten(2).sum(-1) if weight.dim() > 2 else weight
        constants = torch.tensor(fold.constants, dtype=torch.float64, device=weight.device)
        groups = len(constants) // taps.shape[1]
        grouped = taps.reshape(groups, -1, taps.shape[1])
        found[fold.bias] = found.get(fold.bias, bias) + torch.einsum(
            "goi,gi->go", grouped, constants.reshape(groups, -1)
        ).reshape(-1)
    return found
