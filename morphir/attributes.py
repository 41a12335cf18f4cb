"""What Python may read of a model beside its state: attributes and hooks, as far as they compare.

MASK-10 needs to know that nothing of it has changed since the model was recorded. What is no plain
value, no container of such, no code, no tensor and no module of the model may have changed inside
without a trace: a model that has such an attribute is not known to be as it was.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks.bits import digest

_OWN: Final = "_morphir"  # what surgery leaves on a module; it goes with modules
_ELSEWHERE: Final = ("_parameters", "_buffers", "_modules", "training", "_compiled_call_impl")
_QUICK: Final = (bool, int, str, type(None))  # nearly all of them are
_MOSTLY_EMPTY: Final = (dict, OrderedDict, set, list, tuple)  # a module has twenty for hooks
_PLAIN: Final = (
    int, float, complex, str, bytes, type(...), slice, range, Enum, np.generic,
    torch.dtype, torch.device, torch.layout, torch.memory_format,
)  # fmt: skip
_CODE: Final = (FunctionType, BuiltinFunctionType, ModuleType, type)

Attributes = Mapping[str, object]  # of each module, by name
_Known = Mapping[int, object]  # what stands for the parts of the model, by identity


class _UnknownError(Exception):
    """There is something that can't be compared."""


def attributes_of(model: nn.Module) -> Attributes | None:
    """What there is to compare, or None where something is not known.

    Two results are equal only if the attributes are; functions and classes are the same objects.

    Args:
        model: The model; it is only looked at.
    """
    modules = dict(model.named_modules())
    known: dict[int, object] = {}
    for name, module in modules.items():
        known[id(module)] = ("of the model", name)
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            known[id(tensor)] = ("of the model", name, key)
    try:
        return {name: _attributes(module, known) for name, module in modules.items()}
    except (_UnknownError, RecursionError):
        return None


def _attributes(module: nn.Module, known: _Known) -> object:
    found = [
        (key, _compared(value, known))
        for key, value in vars(module).items()
        if key not in _ELSEWHERE and not key.startswith(_OWN)
    ]
    return type(module), found


def _compared(value: Any, known: _Known) -> object:
    """What stands for a value.

    Raises:
        _UnknownError: Nothing does.
    """
    kind = type(value)
    if kind in _QUICK:
        return kind, value
    if kind in _MOSTLY_EMPTY and not value:
        return kind
    if id(value) in known:
        return known[id(value)]
    for kinds, compared in _WAYS:
        if isinstance(value, kinds):
            return kind, compared(value, known)
    if is_dataclass(value) and hasattr(value, "__dict__"):
        return kind, _compared(vars(value), known)
    if not isinstance(value, _CONTAINERS) or getattr(value, "__dict__", None):
        raise _UnknownError
    parts = [*value.items()] if isinstance(value, dict) else value
    found = [_compared(part, known) for part in parts]
    return kind, sorted(map(repr, found)) if isinstance(value, set | frozenset) else found


def _tensor(value: torch.Tensor) -> object:
    found = digest(value)
    if found is None:
        raise _UnknownError
    return found, value.device, value.requires_grad


def _array(value: np.ndarray) -> object:
    if value.dtype.hasobject:
        raise _UnknownError
    return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()


_CONTAINERS: Final = (dict, tuple, list, set, frozenset)
_WAYS: Final[Sequence[tuple[Any, Callable[[Any, _Known], object]]]] = (
    (_PLAIN, lambda value, known: repr(value)),  # NaN is itself, and -0.0 is not 0.0
    (_CODE, lambda value, known: value),
    (MethodType, lambda value, known: (value.__func__, _compared(value.__self__, known))),
    (weakref.ref, lambda value, known: _compared(value(), known)),
    (torch.Tensor, lambda value, known: _tensor(value)),
    (np.ndarray, lambda value, known: _array(value)),
    (Optimizer, lambda value, known: None),  # which no forward reads
)
