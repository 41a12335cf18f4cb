"""How plastic a network still is: what is logged while it learns.

    PLASTIC-1  a unit's score is the mean size of its activation over that of its layer's units; it
               is dormant if its score is at most the threshold
    PLASTIC-2  the activated ratio is the share of activations above 0, over inputs and units
    PLASTIC-3  the effective rank of features is the least number of singular values that hold all
               but a share delta of their sum
    PLASTIC-4  the churn of a change is the mean distance between outputs before and after, over the
               mean size of the outputs before

Every function takes activations, tensors of shape (..., units), one for each hidden layer; inputs
and positions are rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch

Activations = Mapping[str, torch.Tensor]


def dormant_scores(activations: torch.Tensor) -> torch.Tensor:
    """The scores of the units of one layer (PLASTIC-1; Sokar et al. 2023, equation 1).

    Args:
        activations: Of shape (..., units).

    Returns:
        Of shape (units,): 1 is the average, 0 is silent; zeros where all are silent.
    """
    sizes = activations.detach().abs().flatten(0, -2).mean(0)
    mean = sizes.mean()
    return sizes / mean if mean > 0 else sizes


def dormant_ratios(activations: Activations, threshold: float = 0.0) -> dict[str, float]:
    """The share of dormant units of each layer, and of all under the name "all" (PLASTIC-1)."""
    dormant = {name: dormant_scores(each) <= threshold for name, each in activations.items()}
    ratios = {name: float(each.float().mean()) for name, each in dormant.items()}
    return {**ratios, "all": float(torch.cat([*dormant.values()]).float().mean())}


def activated_ratios(activations: Activations) -> dict[str, float]:
    """The share of activations above 0 of each layer, and of all under "all" (PLASTIC-2).

    The fraction of active units (FAU) of Neuroplastic Expansion's code. It is not one minus the
    dormant ratio: a unit that is on for one input in a hundred is not dormant.
    """
    on = {name: (each.detach() > 0).flatten() for name, each in activations.items()}
    ratios = {name: float(each.float().mean()) for name, each in on.items()}
    return {**ratios, "all": float(torch.cat([*on.values()]).float().mean())}


def effective_rank(features: torch.Tensor, delta: float = 0.01) -> int:
    """The effective rank of features (PLASTIC-3; Kumar et al. 2021, equation 3).

    Args:
        features: Of shape (..., units), with more rows than units for a meaningful rank.
        delta: The share of the sum of singular values that may be left out.
    """
    values = torch.linalg.svdvals(features.detach().flatten(0, -2).double())
    total = values.sum()
    if not total > 0:
        return 0
    return int((values.cumsum(0) < (1 - delta) * total).sum()) + 1


def gradient_norm(parameters: Iterable[torch.nn.Parameter]) -> float:
    """The Euclidean norm of all gradients together; parameters without one count as 0."""
    return _norm(p.grad for p in parameters if p.grad is not None)


def weight_norm(parameters: Iterable[torch.nn.Parameter]) -> float:
    """The Euclidean norm of all parameters together."""
    return _norm(p.detach() for p in parameters)


def churn(before: torch.Tensor, after: torch.Tensor) -> float:
    """How far outputs moved (PLASTIC-4).

    Args:
        before: Outputs of shape (..., features).
        after: Those of the changed network on the same inputs.

    Returns:
        0 where nothing moved; infinity where all outputs were 0 and one is not any more.
    """
    moved = float((after - before).detach().double().norm(dim=-1).mean())
    size = float(before.detach().double().norm(dim=-1).mean())
    return moved / size if size else (math.inf if moved else 0.0)


def _norm(tensors: Iterable[torch.Tensor]) -> float:
    every = [*tensors]
    return float(torch.stack(torch._foreach_norm(every)).norm()) if every else 0.0
