"""What can be seen of a module and its optimizer, as plain data that can be compared."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from morphir.tensors import map_tensors, words

Snapshot = Mapping[str, Any]


def snapshot(module: nn.Module, optimizer: Optimizer | None = None) -> Snapshot:
    """Classes, flags and attributes of modules, bits of tensors, and the optimizer's state."""
    seen: dict[str, Any] = {}
    for name, each in module.named_modules(remove_duplicate=False):
        own = {key: value for key, value in vars(each).items() if _is_plain(value)}
        seen[f"module {name!r}"] = type(each), [*each._modules], own
    named = (*module.named_parameters(remove_duplicate=False), *module.named_buffers())
    for name, tensor in named:
        seen[f"tensor {name!r}"] = id(tensor), tensor.requires_grad, bits(tensor), bits(tensor.grad)
    if optimizer is not None:
        seen["the optimizer"] = map_tensors(optimizer.state_dict(), bits)
        groups = [[id(each) for each in group["params"]] for group in optimizer.param_groups]
        seen["what the optimizer holds"] = groups
    return seen


def numbers(module: nn.Module) -> Snapshot:
    """The bits of all entries of the state_dict."""
    return {f"tensor {name!r}": bits(each) for name, each in module.state_dict().items()}


def random_state() -> Snapshot:
    """The states of the generators that a user may have seeded."""
    return {
        "torch's random state": bits(torch.get_rng_state()),
        "numpy's random state": repr(np.random.get_state(legacy=False)),
        "Python's random state": random.getstate(),
    }


def bits(tensor: Any) -> Any:
    """The type, shape and bytes of a tensor; of anything else nothing but itself."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    return str(tensor.dtype), tuple(tensor.shape), words(tensor).cpu().numpy().tobytes()


def difference(before: Snapshot, after: Snapshot) -> str:
    """The first thing that differs, or ""."""
    for name in dict.fromkeys((*before, *after)):
        if name not in before:
            return f"{name} is new"
        if name not in after:
            return f"{name} is gone"
        if before[name] != after[name]:
            return f"{name} differs"
    return ""


def _is_plain(value: Any) -> bool:
    return isinstance(value, bool | int | float | str | tuple | None)
