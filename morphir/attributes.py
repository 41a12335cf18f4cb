"""What Python may read of a model beside its state: attributes, hooks, classes, as they compare.

MASK-10 needs to know that nothing of it has changed since the model was recorded. What is no plain
value, no container of such, no code, no tensor and no module of the model may have changed inside
without a trace: a model that has such an attribute is not known to be as it was.
"""

from __future__ import annotations

import hashlib
import re
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from functools import cached_property
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final, final

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks.bits import digest

_OWN: Final = "_morphir"  # what surgery leaves on a module; it goes with modules
_ELSEWHERE: Final = (
    "_parameters", "_buffers", "_modules", "training", "_compiled_call_impl",
    "_flat_weight_refs",  # of a recurrent layer; a copy has them in another place
)  # fmt: skip
_TENSORS: Final = ("_parameters", "_buffers")
_QUICK: Final = (bool, int, str, type(None))  # nearly all of them are
_ORDINARY: Final = (dict, OrderedDict, set, list, tuple)  # a module has twenty for hooks, all empty
_PLAIN: Final = (
    int, float, complex, str, bytes, type(...), slice, range, np.generic, re.Pattern,
    torch.dtype, torch.device, torch.layout, torch.memory_format,
)  # fmt: skip
_FIXED: Final = (ModuleType, GetSetDescriptorType, MemberDescriptorType, WrapperDescriptorType)
_CONTAINERS: Final = (dict, tuple, list, set, frozenset)
_GRAD_MODES: Final = (torch.no_grad, torch.enable_grad, torch.inference_mode)  # as decorators

# Whose classes nobody changes, and what is in a class that no forward reads.
_LIBRARIES: Final = (
    "builtins", "abc", "collections", "enum", "functools", "re", "typing", "weakref",
    "numpy", "torch",
)  # fmt: skip
_OF_CLASSES: Final = (
    "__annotations__", "__doc__", "__orig_bases__", "__parameters__", "__type_params__",
    "__dataclass_fields__", "__dataclass_params__", "__slotnames__", "_abc_impl",
)  # fmt: skip

# Of each module, in order; and what is in the functions and classes that were met on the way.
Attributes = tuple[Sequence[object], Mapping[int, object]]


class _UnknownError(Exception):
    """There is something that can't be compared."""


def attributes_of(model: nn.Module) -> Attributes | None:
    """What there is to compare, or None where something is not known.

    Two results are equal only if the attributes are; functions and classes are the same objects
    and have the same in them.

    Args:
        model: The model; it is only looked at.
    """
    look = _Look(model)
    try:
        return [look.at(module) for module in look.modules], look.code
    except (_UnknownError, RecursionError):
        return None


@final
class _Look:
    """One look at a model.

    Attributes:
        modules: Its modules, by name.
        code: The functions and classes that were met, by identity, each with what is in it.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.code: dict[int, object] = {}
        self._known: dict[int, object] = {}  # what stands for the parts of the model, by identity
        for name, module in self.modules.items():
            self._known[id(module)] = ("of the model", name)
            for kind in _TENSORS:
                for key, tensor in getattr(module, kind).items():
                    if tensor is not None:
                        self._known[id(tensor)] = ("of the model", name, key)

    def at(self, name: str) -> object:
        """What there is to compare of a module; what it holds counts in its order, by name."""
        module = self.modules[name]
        children = [(key, self._known.get(id(part))) for key, part in module._modules.items()]
        tensors = [
            (key, part is not None and (self._known.get(id(part)), self.compared(vars(part))))
            for kind in _TENSORS
            for key, part in getattr(module, kind).items()
        ]
        found = [
            (key, self.compared(value))
            for key, value in vars(module).items()
            if key not in _ELSEWHERE and not key.startswith(_OWN)
        ]
        return name, self.class_(type(module)), children, tensors, found

    def compared(self, value: Any) -> object:
        """What stands for a value.

        Raises:
            _UnknownError: Nothing does.
        """
        kind = type(value)
        if kind in _QUICK:
            return kind, value
        if kind in _ORDINARY and not value:
            return kind
        if id(value) in self._known:
            return self._known[id(value)]
        if kind in _ORDINARY:
            return kind, self._parts(value)
        self.class_(kind)
        for kinds, compared in _WAYS:
            if isinstance(value, kinds):
                return kind, compared(self, value)
        own, is_data = getattr(value, "__dict__", None), is_dataclass(value)
        is_container = isinstance(value, _CONTAINERS)
        has_slots = any(vars(base).get("__slots__") for base in kind.__mro__)
        if not (is_data or is_container) or has_slots or (own and not is_data):
            raise _UnknownError
        return kind, own and self.compared(own), is_container and self._parts(value)

    def function(self, function: FunctionType) -> object:
        """The function itself; what is in it is noted once, as it may refer to itself."""
        if id(function) not in self.code:
            self.code[id(function)] = function
            defaults = function.__defaults__, function.__kwdefaults__
            inside = (*defaults, vars(function), [*_closure(function)])
            found = [each and self.compared(each) for each in inside]
            self.code[id(function)] = function, function.__code__, found
        return function

    def class_(self, kind: type) -> object:
        """The class itself; what is in it and its bases is noted once, but of libraries."""
        if _is_own(kind) and id(kind) not in self.code:
            self.code[id(kind)] = kind
            inside = [(k, self.compared(v)) for k, v in vars(kind).items() if k not in _OF_CLASSES]
            self.code[id(kind)] = kind, kind.__mro__, inside
            for base in kind.__mro__[1:]:
                self.class_(base)
        return kind

    def _parts(self, value: Any) -> object:
        if isinstance(value, set | frozenset):
            return sorted(repr(self.compared(part)) for part in value)
        if isinstance(value, dict):
            return [(self.compared(key), self.compared(part)) for key, part in value.items()]
        return [self.compared(part) for part in value]


def _closure(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            yield "not assigned yet"


def _is_own(kind: type) -> bool:
    return kind.__module__.partition(".")[0] not in _LIBRARIES


def _plain(value: Any) -> object:
    if _is_own(type(value)):  # which may say what it likes
        raise _UnknownError
    return repr(value)  # NaN is itself, and -0.0 is not 0.0


def _tensor(value: torch.Tensor) -> object:
    found = digest(value)
    if found is None or vars(value):
        raise _UnknownError
    return found, value.device, value.requires_grad


def _array(value: np.ndarray) -> object:
    if value.dtype.hasobject or getattr(value, "__dict__", None):
        raise _UnknownError
    return value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest()


_WAYS: Final[Sequence[tuple[Any, Callable[[_Look, Any], object]]]] = (
    (FunctionType, _Look.function),
    (type, _Look.class_),
    (_FIXED, lambda look, value: value),
    (BuiltinFunctionType, lambda look, value: (value, look.compared(value.__self__))),
    (MethodType, lambda look, value: [*map(look.compared, (value.__func__, value.__self__))]),
    ((staticmethod, classmethod), lambda look, value: look.compared(value.__func__)),
    (property, lambda look, value: [*map(look.compared, (value.fget, value.fset, value.fdel))]),
    (cached_property, lambda look, value: look.compared(value.func)),
    (Enum, lambda look, value: [(k, look.compared(v)) for k, v in vars(value).items()]),
    (_PLAIN, lambda look, value: _plain(value)),
    (weakref.ref, lambda look, value: look.compared(value())),
    (torch.Tensor, lambda look, value: _tensor(value)),
    (np.ndarray, lambda look, value: _array(value)),
    (Optimizer, lambda look, value: None),  # which no forward reads
    (_GRAD_MODES, lambda look, value: look.compared(vars(value))),
)
