"""Strides that survive: channels-last weights stay so, and moments stay laid out as their weights.

Fused optimizers step through a parameter and its moments as through flat memory, so numbers would
meet those of others if only one of them were laid out anew.
"""

from __future__ import annotations

import torch


def laid_out_as(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """A tensor whose axes follow one another in memory as another tensor's do."""
    if other.is_contiguous():
        return tensor.contiguous()
    strides = other.stride()
    order = sorted(range(other.dim()), key=lambda axis: -strides[axis])
    back = sorted(range(other.dim()), key=order.__getitem__)
    return tensor.permute(order).contiguous().permute(back)
