"""Puts masks beside parameters, and can take them away again.

BACK-19  a mask that is there keeps its identity, a new one is a buffer of the module that holds the
         parameter; the parameter is the same object, with new numbers where these change
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.ir import Masking
from morphir.ir.masks import mask_name

Undo = Callable[[], None]


def put_masks(model: nn.Module, edit: Masking) -> Iterator[Undo]:
    """Makes an edit step by step; what undoes a step comes before it.

    Raises:
        RefusalError: The model has no such parameter, or something else by the name of its mask.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name, mask in edit.masks.items():
        if name not in parameters:
            raise RefusalError(f"there is no parameter {name!r}", nodes=[name])
        parameter = parameters[name]
        yield from _put_mask(model, name, parameter, mask)
        if name in edit.numbers:
            yield _setter(parameter, parameter.detach().clone())
            _set(parameter, edit.numbers[name])
        elif bool(((mask == 0) & (parameter != 0)).any()):
            yield _setter(parameter, parameter.detach().clone())
            _set(parameter, parameter.detach() * mask.to(parameter))


def _put_mask(
    model: nn.Module, name: str, parameter: nn.Parameter, mask: torch.Tensor
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
