"""What an optimizer knows, by the names of the parameters instead of their order.

STATE-5   an optimizer that was saved and loaded takes the same step as the one that was saved
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.errors import RefusalError
from morphir.state.packing import pack, unpack


def pack_optimizer(
    optimizer: Optimizer, model: nn.Module, prefix: str, tensors: dict[str, torch.Tensor]
) -> dict[str, Any]:
    """The class name, groups and state of an optimizer as JSON, its tensors aside.

    Raises:
        RefusalError: It holds parameters or state of something else than the model, or options
            that are no plain data.
    """
    names = {id(p): name for name, p in model.named_parameters()}
    kind = type(optimizer).__name__
    held = [p for group in optimizer.param_groups for p in group["params"]]
    outside = [p for p in held if id(p) not in names]
    if outside:
        raise RefusalError(
            f"the {kind} holds {len(outside)} parameters of something else than the "
            f"{type(model).__name__}, which would be lost",
            suggestions=["one module that holds all that it trains", "a list of optimizers"],
        )
    stray = len(optimizer.state.keys() - set(held))
    if stray:
        raise RefusalError(f"the {kind} has state for {stray} things that no group holds")
    groups = [
        {
            "params": [names[id(p)] for p in group["params"]],
            "options": {
                key: pack(value, f"{prefix}/group/{index}/{key}", tensors)
                for key, value in group.items()
                if key != "params"
            },
        }
        for index, group in enumerate(optimizer.param_groups)
    ]
    state = {
        names[id(p)]: pack(dict(entries), f"{prefix}/state/{names[id(p)]}", tensors)
        for p, entries in optimizer.state.items()
    }
    return {"class": kind, "groups": groups, "state": state}


def restore_optimizer(
    optimizer: Optimizer,
    model: nn.Module,
    saved: Mapping[str, Any],
    tensor: Callable[[str], torch.Tensor],
) -> None:
    """Gives an optimizer over a rebuilt model the groups, options and state that were saved.

    Raises:
        RefusalError: It is of another class, has another number of groups, or the model lacks a
            parameter.
    """
    kind, groups = type(optimizer).__name__, optimizer.param_groups
    if saved["class"] != kind or len(saved["groups"]) != len(groups):
        raise RefusalError(
            f"the file holds {saved['class']} (groups: {len(saved['groups'])}), the factory "
            f"built {kind} (groups: {len(groups)})",
            suggestions=["optimizer= that builds what was saved"],
        )
    parameters = dict(model.named_parameters())
    names = [name for group in saved["groups"] for name in group["params"]]
    missing = [name for name in names if name not in parameters]
    if missing:
        raise RefusalError(
            f"the optimizer was saved with {missing[0]!r}, which the model lacks", nodes=missing[:5]
        )
    optimizer.state.clear()
    for group, stored in zip(groups, saved["groups"], strict=True):
        # In place: LBFGS keeps the list.
        group["params"][:] = [parameters[name] for name in stored["params"]]
        group.pop("param_names", None)
        group.update({key: unpack(value, tensor) for key, value in stored["options"].items()})
        for name in stored["params"]:
            if name in saved["state"]:
                entries = unpack(saved["state"][name], tensor)
                parameter = parameters[name]
                optimizer.state[parameter] = {
                    key: _placed(value, parameter, group) for key, value in entries.items()
                }


def _placed(value: Any, parameter: nn.Parameter, group: Mapping[str, Any]) -> Any:
    """Moves state to the parameter's device; a step counter only where kernels read it there."""
    if isinstance(value, list | tuple):
        return type(value)(_placed(part, parameter, group) for part in value)
    if not isinstance(value, torch.Tensor):
        return value
    is_counter = value.dim() == 0 and not (group.get("capturable") or group.get("fused"))
    return value if is_counter else value.to(parameter.device)
