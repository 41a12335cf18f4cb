"""Refuses to change tensors that lie in one memory with others, since they would part.

BACK-17  a tensor that lies in one memory with another one, over it or beside it, does not change;
         a recurrent layer's own weights do, which torch lays side by side and does not need to
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn

from morphir.errors import RefusalError


def check_apart(model: nn.Module, changing: Iterable[str]) -> None:
    """Refuses state entries that lie in one memory with others (BACK-17).

    Args:
        model: The model that holds them.
        changing: The names of those that would change their shape.

    Raises:
        RefusalError: One of them does.
    """
    layers = {
        f"{name}.{key}": id(module)
        for name, module in model.named_modules()
        if isinstance(module, nn.RNNBase)
        for key in module._parameters
    }
    beside = {name: names for names in _by_memory(model) for name in names}
    for name in changing:
        near = beside.get(name, ())
        others = [each for each in near if layers.get(each, each) != layers.get(name, name)]
        if others:
            raise RefusalError(
                f"{name!r} and {others[0]!r} are two tensors that share their memory: if one "
                "changed its shape they would part",
                nodes=[name, *others],
                suggestions=["one parameter under both names", "copies that share no memory"],
            )


def _by_memory(model: nn.Module) -> Iterator[list[str]]:
    """The names of the tensors of each stretch of memory."""
    found = [
        (*extent, name)
        for name, tensor in (*model.named_parameters(), *model.named_buffers())
        if (extent := _extent(tensor)) is not None
    ]
    names: list[str] = []
    reach = ("", 0)
    for device, start, end, name in sorted(found):
        if (device, start) >= reach and names:
            yield names
            names = []
        names.append(name)
        reach = max(reach, (device, end))
    yield names


def _extent(tensor: torch.Tensor) -> tuple[str, int, int] | None:
    """Device, first byte and the one after the last of the memory that a tensor lies in."""
    if tensor.layout != torch.strided or tensor.device.type == "meta" or not tensor.numel():
        return None
    storage = tensor.untyped_storage()
    return str(tensor.device), storage.data_ptr(), storage.data_ptr() + storage.nbytes()
