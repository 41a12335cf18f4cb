"""Nets whose matrices and kernels carry masks."""

from __future__ import annotations

import torch
from torch import nn

from morphir.ir.masks import mask_name


def masked(model: nn.Module, density: float = 0.4, seed: int = 0) -> nn.Module:
    """The model, with a random mask for each of its matrices and kernels."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in [*model.named_parameters()]:
        if parameter.dim() > 1:
            mask = (torch.rand(parameter.shape, generator=generator) < density).to(parameter.dtype)
            home, _, key = mask_name(name).rpartition(".")
            model.get_submodule(home).register_buffer(key, mask)
            with torch.no_grad():
                parameter.mul_(mask)
    return model


def masks_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """The masks by the names of their parameters."""
    buffers = dict(model.named_buffers())
    return {
        name: buffers[mask_name(name)]
        for name, _ in model.named_parameters()
        if mask_name(name) in buffers
    }


def assert_masked(model: nn.Module) -> None:
    """MASK-1: masks of zeros and ones, and parameters that are 0 behind them."""
    parameters = dict(model.named_parameters())
    assert masks_of(model)
    for name, mask in masks_of(model).items():
        assert mask.shape == parameters[name].shape
        assert mask.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
        assert not parameters[name][mask == 0].any(), name
