"""What a torch call is given, and what of it a graph can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import torch
from torch import fx, nn

from morphir.errors import RefusalError
from morphir.frontend.recording import Unprintable
from morphir.frontend.sizes import TaggedInt

_T = torch.Tensor
_HELD: Final = frozenset(
    (
        bool, int, float, complex, str, type(None), type(...), torch.dtype, torch.device,
        torch.layout, torch.memory_format, TaggedInt,
    )
)  # fmt: skip
_STORAGES: Final = (torch.UntypedStorage, torch.TypedStorage)


def operands_in(value: Any) -> Iterator[_T]:
    """The tensors in the arguments or results of a torch function."""
    if isinstance(value, _T):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from operands_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from operands_in(part)
    elif isinstance(value, slice):
        yield from operands_in((value.start, value.stop, value.step))


def hold(value: Any, node_of: Callable[[_T], fx.Node], missing: list[str]) -> Any:
    """Replaces tensors by nodes, and what fx cannot hold by its type's name; sizes stay tagged.

    Args:
        value: An argument.
        node_of: The node that holds a tensor's value.
        missing: Takes the names of the types that fx cannot hold.

    Raises:
        RefusalError: It is a tensor's storage.
    """
    if isinstance(value, _T):
        return node_of(value)
    if type(value) in _HELD:
        return value
    if isinstance(value, list | tuple):
        return tuple(hold(part, node_of, missing) for part in value)
    if isinstance(value, dict):
        return {key: hold(part, node_of, missing) for key, part in value.items()}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return slice(*(hold(part, node_of, missing) for part in parts))
    if isinstance(value, np.generic):
        return hold(value.item(), node_of, missing)
    if isinstance(value, _STORAGES):
        raise RefusalError(
            "the model works on a tensor's storage (pickle, copies of memory), which cannot be "
            "followed",
            suggestions=["tensor operations such as clone"],
        )
    for kind in (bool, int, float, str):  # enumerations, and numbers of other libraries
        if isinstance(value, kind):
            return kind(value)
    missing.append(type(value).__name__)
    return Unprintable(type(value).__name__)


def count(held: Any) -> int:
    """How many arguments there are, counting what is inside of tuples and dicts."""
    if isinstance(held, dict):
        held = tuple(held.values())
    return sum(map(count, held)) if isinstance(held, tuple) else 1


def context_of(operands: Sequence[_T]) -> str:
    """What makes a call mean something else than its function: autocast, a tensor's own class."""
    if torch.is_autocast_enabled("cpu") or torch.is_autocast_enabled("cuda"):
        return "autocast"
    kinds = (type(tensor) for tensor in operands)
    return next((kind.__name__ for kind in kinds if not _is_ordinary(kind)), "")


@lru_cache(maxsize=64)
def _is_ordinary(kind: type[_T]) -> bool:
    """Whether operations on a class of tensors are those of torch."""
    functions = (_T.__torch_function__, nn.Parameter.__torch_function__)
    own = getattr(kind.__torch_function__, "__func__", kind.__torch_function__)
    return own in [getattr(f, "__func__", f) for f in functions] and (
        kind.__torch_dispatch__ is _T.__torch_dispatch__
    )
