"""Puts numbers and masks into a model, and can take them away again.

BACK-19  a mask that is there keeps its identity, a new one is a buffer of the module that holds the
         parameter; parameters and buffers are the same objects, with new numbers where these change
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.ir import Renumbering
from morphir.ir.masks import mask_name
from morphir.tensors import equal_numbers

Undo = Callable[[], None]


def put_numbers(model: nn.Module, edit: Renumbering) -> Iterator[Undo]:
    """Makes an edit step by step; what undoes a step comes before it.

    Raises:
        RefusalError: The model has no such parameter or buffer, or something else by the name of a
            mask.
    """
    for name in edit.names:
        tensor = _held(model, name, may_be_buffer=name not in edit.masks)
        if tensor is None:
            kind = "parameter" if name in edit.masks else "parameter or buffer"
            raise RefusalError(f"there is no {kind} {name!r}", nodes=[name])
        if name in edit.masks:
            yield from _put_mask(model, name, tensor, edit.masks[name])
        if name in edit.numbers:
            yield _setter(tensor, tensor.detach().clone())
            _set(tensor, edit.numbers[name])
            continue
        masked = tensor.detach() * edit.masks[name].to(tensor)
        if not equal_numbers(masked, tensor):
            yield _setter(tensor, tensor.detach().clone())
            _set(tensor, masked)


def _held(model: nn.Module, name: str, *, may_be_buffer: bool) -> torch.Tensor | None:
    """The parameter of that name, or the buffer if that will do; None if there is none."""
    home, _, key = name.rpartition(".")
    try:
        owner = model.get_submodule(home)
    except AttributeError:
        return None
    parameter = owner._parameters.get(key)
    return owner._buffers.get(key) if parameter is None and may_be_buffer else parameter


def _put_mask(
    model: nn.Module, name: str, parameter: torch.Tensor, mask: torch.Tensor
) -> Iterator[Undo]:
    home, _, key = mask_name(name).rpartition(".")
    owner = model.get_submodule(home)
    held = owner._buffers.get(key)
    if held is None:
        if hasattr(owner, key):
            raise RefusalError(
                f"the mask of {name!r} would be {mask_name(name)!r}, which is something else",
                nodes=[home],
                suggestions=["another name for that attribute"],
            )
        yield lambda: delattr(owner, key)
        owner.register_buffer(key, mask.detach().to(parameter, copy=True))
    else:
        yield _setter(held, held.clone())
        _set(held, mask)


def _setter(tensor: torch.Tensor, numbers: torch.Tensor) -> Undo:
    return lambda: _set(tensor, numbers)


def _set(tensor: torch.Tensor, numbers: torch.Tensor) -> None:
    with torch.no_grad():
        tensor.copy_(numbers)
