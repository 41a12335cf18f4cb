"""Finds the tensors inside whatever a model takes or returns, and compares them."""

from __future__ import annotations

import copy
import dataclasses
from collections import deque
from collections.abc import Callable, Iterator
from enum import Enum
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

_LEAVES = (
    str, bytes, int, float, complex, type, Enum, FunctionType, MethodType, ModuleType, nn.Module,
    torch.optim.Optimizer,
)  # fmt: skip
_DEPTH = 12
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def tensors_in(
    value: Any, path: str = "", depth: int = _DEPTH
) -> Iterator[tuple[str, torch.Tensor]]:
    """Yields every tensor with its path, such as `['mask']` or `.past_key_values.layers[0].keys`.

    Looks into tuples, lists, dicts, dataclasses and the attributes of other objects (a
    distribution, a cache), each container once and twelve levels deep. Modules, optimizers and
    functions are not looked into.
    """
    return _walk(value, path, depth, set())


def _walk(value: Any, path: str, depth: int, seen: set[int]) -> Iterator[tuple[str, torch.Tensor]]:
    if isinstance(value, torch.Tensor):
        yield path, value
    elif depth > 0 and value is not None and not isinstance(value, _LEAVES):
        if id(value) in seen:
            return
        seen.add(id(value))
        for step, part in _parts(value):
            yield from _walk(part, path + step, depth - 1, seen)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container or an object holds, with the step that leads there."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from ((f".{name}", getattr(value, name)) for name in value._fields)
    elif isinstance(value, list | tuple | deque | set | frozenset):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    else:
        for kind in type(value).__mro__:
            slots = vars(kind).get("__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if not name.startswith("__") and hasattr(value, name):
                    yield f".{name}", getattr(value, name)
        yield from ((f".{name}", part) for name, part in getattr(value, "__dict__", {}).items())


def real_parts(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of real numbers itself; of a complex one its parts, along another axis."""
    return torch.view_as_real(tensor.resolve_conj()) if tensor.is_complex() else tensor


def words(tensor: torch.Tensor) -> torch.Tensor:
    """The bits of a strided tensor as whole numbers as wide as its elements, in their order.

    Single bytes are slower to compare, and torch refuses them where the one element of an axis has
    a stride.
    """
    plain = real_parts(tensor.detach().resolve_neg()).reshape(-1)
    return plain.view(_WORDS[plain.itemsize])


def equal_numbers(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors of one dtype and device hold the same numbers; -0.0 is 0.0, NaN none."""
    if a.is_cpu and a.itemsize >= 4:  # NumPy knows no bfloat16, but is faster
        return np.array_equal(a.numpy(force=True), b.numpy(force=True))
    return torch.equal(a, b)


def unequal(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Where two tensors of one shape, dtype and device hold other numbers; see `equal_numbers`."""
    if a.is_cpu and a.itemsize >= 4:
        return torch.as_tensor(np.not_equal(a.numpy(force=True), b.numpy(force=True)))
    return a != b


def map_tensors(value: Any, function: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Rebuilds tuples, lists, dicts and dataclasses with every tensor replaced.

    What holds no tensor, and every other object, stays as it is.
    """
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, list | tuple):
        parts = [map_tensors(part, function) for part in value]
        if all(new is old for new, old in zip(parts, value, strict=True)):
            return value
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    is_data = dataclasses.is_dataclass(value) and not isinstance(value, type)
    if not is_data and not isinstance(value, dict):
        return value
    # A subclass of dict may demand other arguments than a dict (defaultdict, a model's output).
    changed = copy.copy(value)
    if isinstance(value, dict):
        for key, part in value.items():
            changed[key] = map_tensors(part, function)
    else:
        for field in dataclasses.fields(value):
            part = map_tensors(getattr(value, field.name), function)
            object.__setattr__(changed, field.name, part)  # the dataclass may be frozen
    return changed
