"""Which objects morphir works on, and what to do about those it doesn't."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from morphir.errors import RefusalError

_WRAPPERS = {
    "DistributedDataParallel": "apply the pass to model.module on every rank, then wrap again",
    "DataParallel": "apply the pass to model.module, then wrap the result again",
    "FullyShardedDataParallel": "apply the pass before wrapping, or to the gathered module",
    "OptimizedModule": "apply the pass to model._orig_mod, then compile the result again",
}


def check_module(model: Any) -> None:
    """Refuses what is no plain, materialised `nn.Module`.

    Raises:
        RefusalError: It is no module, a wrapper, scripted, sharded, or has parameters without
            numbers.
    """
    if not isinstance(model, nn.Module):
        raise RefusalError(
            f"expected a torch.nn.Module, found {type(model).__name__}",
            suggestions=["the module inside it, such as agent.policy or model.model"],
        )
    for path, module in model.named_modules():
        kind = type(module).__name__
        where = [path or "the model itself"]
        if kind in _WRAPPERS:
            raise RefusalError(f"{kind} is a wrapper", nodes=where, suggestions=[_WRAPPERS[kind]])
        if kind.startswith("FSDP") and any(
            b.__name__ == "FSDPModule" for b in type(module).__mro__
        ):
            raise RefusalError(
                "the module is sharded by fully_shard, so its tensors are not whole",
                nodes=where,
                suggestions=["gather it, apply the pass, then call fully_shard again"],
            )
    if isinstance(model, torch.jit.ScriptModule):
        raise RefusalError(
            "the model is a TorchScript module, whose code and parameters cannot be replaced",
            suggestions=["apply the pass to the Python module, then script the result"],
        )
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if type(tensor).__name__ == "DTensor":
            raise RefusalError(
                "a parameter is distributed over devices, so it is not whole",
                nodes=[name],
                suggestions=["gather it, apply the pass, then distribute it again"],
            )
        if is_lazy(tensor):
            raise RefusalError(
                "a lazy parameter has no shape yet",
                nodes=[name],
                suggestions=["run the model once"],
            )
        if tensor.is_meta:
            raise RefusalError(
                "a parameter is on the meta device, which holds no numbers",
                nodes=[name],
                suggestions=["model.to_empty(device=...) and load its weights first"],
            )
