"""Models whose axes are changed by hand: the checker is tested without planner and passes."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from morphir.checks import check_certificate
from morphir.frontend import record
from morphir.ir import (
    FREE,
    ZERO,
    Certificate,
    Check,
    Mapped,
    ResizeClaim,
    TensorChange,
)
from morphir.ir.program import Mode
from morphir.ops import DEFAULT_TABLE


def coarse(model: nn.Module) -> nn.Module:
    """Rounds the parameters to few bits, so that products with simple shares are exact."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.copy_((tensor * 1024).round() / 1024)
    return model


def mapped(tensor: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The values of a changed tensor; free positions are random."""
    noise = torch.Generator().manual_seed(1)
    free = torch.zeros(1, dtype=torch.bool)
    zero = torch.zeros(1, dtype=torch.bool)
    for axis, each in enumerate(change):
        source = each.relation.source
        index = torch.from_numpy(np.maximum(source, 0))
        shape = [1] * tensor.dim()
        shape[axis] = len(source)
        share = torch.from_numpy(each.shares("split")).reshape(shape)
        tensor = (tensor.index_select(axis, index) * share).to(tensor.dtype)
        free = free | torch.from_numpy(source == FREE).reshape(shape)
        zero = zero | torch.from_numpy(source == ZERO).reshape(shape)
    random = torch.rand(tensor.shape, generator=noise).to(tensor.dtype)
    return torch.where(zero, torch.zeros_like(tensor), torch.where(free, random, tensor))


def resize(model: nn.Module, tensors: Mapping[str, TensorChange], **attributes: Any) -> nn.Module:
    """A copy of a model with some tensors changed and attributes set, `layer__groups=4`."""
    new = copy.deepcopy(model)
    for name, change in tensors.items():
        home, _, key = name.rpartition(".")
        owner = new.get_submodule(home)
        value = mapped(getattr(owner, key).detach(), change)
        if key in owner._parameters:
            setattr(owner, key, nn.Parameter(value))
        else:
            owner._buffers[key] = value
    for path, value in attributes.items():
        home, _, key = path.rpartition("__")
        setattr(new.get_submodule(home.replace("__", ".")), key, value)
    return new


def check(
    old: nn.Module,
    new: nn.Module,
    tensors: Mapping[str, TensorChange],
    *inputs: torch.Tensor,
    mode: Mode = "eval",
) -> Check:
    """What the certificate checker says about two models and a claim."""
    before, after = (
        record(model, example_inputs=inputs, mode=mode).program for model in (old, new)
    )
    claim = ResizeClaim("WIDER-1", "", tensors)
    certificate = Certificate(before.hash, after.hash, resizes=(claim,))
    return check_certificate(before, after, certificate, DEFAULT_TABLE)


def kept(*sizes: int) -> TensorChange:
    """Axes that do not change."""
    return tuple(map(Mapped, sizes))
