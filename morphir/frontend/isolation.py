"""A copy to record on, so that looking at a model never changes it.

FRONT-1   recording changes neither the module, nor its buffers, gradients, flags and hooks, nor
          the random state of torch, numpy and Python; also when the model raises
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import cache, cached_property
from typing import Any, Final, final

import torch
from torch import nn

from morphir.frontend.sizes import ReadAttribute, TaggedInt
from morphir.frontend.witness import memory_of
from morphir.tensors import tensors_in

_SHARED: Final = (
    int, float, complex, bool, str, bytes, type(None), type, torch.dtype, torch.device,
)  # fmt: skip
_CONTAINERS: Final = (dict, OrderedDict, list, set, tuple)
_STATE: Final = ("_parameters", "_buffers", "_modules")


@final
class Scratch:
    """A copy of a module that shares its parameters and nothing else.

    A forward only reads parameters, and they may be large. Buffers and every other attribute are
    copied; optimizers that hang on the module are shared, since a forward does not step them.
    Integer attributes of the user's own modules become tagged integers.

    Attributes:
        module: The copy.
        modules: Every module of the copy with its first qualified name and its original.
        names: Identity of each parameter and buffer of the copy to its first qualified name.
        parameters: The parameters that the copy shares (TorchScript copies its own).
        buffers: The buffers of the copy by first qualified name.
        originals: Identity of every other tensor of the copy to the tensor it was copied from.
        memory: Memory of each parameter and of each buffer of the original, to the copy's tensor.
    """

    def __init__(self, model: nn.Module) -> None:
        memo: dict[int, Any] = {id(p): p for p in model.parameters()}
        originals = [*model.named_modules()]
        self.module = _copy(model, originals, memo)
        copies = dict(self.module.named_modules())  # TorchScript copies its children by itself
        self.modules = [(name, copies[name], original) for name, original in originals]
        self.names: dict[int, str] = {}
        self.parameters: list[nn.Parameter] = []
        self.buffers: dict[str, torch.Tensor] = {}
        self.memory: dict[Any, torch.Tensor] = {}
        for name, module, original in self.modules:
            self._add_state(name, module, original)
        self.originals = {
            id(memo[id(original)]): original
            for original in memo.get(id(memo), ())
            if isinstance(original, torch.Tensor) and id(original) in memo
        }
        for name, module, _ in self.modules:
            if not type(module).__module__.startswith("torch."):
                _tag_numbers(name, module)

    def _add_state(self, name: str, module: nn.Module, original: nn.Module) -> None:
        for key, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in self.names:
                self.names[id(parameter)] = join(name, key)
                if parameter.is_leaf:
                    self.parameters.append(parameter)
                    self.memory[memory_of(parameter)] = parameter
        for key, buffer in module._buffers.items():
            source = original._buffers[key]
            if buffer is not None and source is not None and id(buffer) not in self.names:
                # A closure may hold the original instead of the copy.
                self.names[id(buffer)] = self.names[id(source)] = join(name, key)
                self.buffers[join(name, key)] = buffer
                self.memory[memory_of(source)] = buffer

    def path_of(self, tensor: torch.Tensor) -> str | None:
        """The qualified name of an attribute that is or holds a tensor, or None."""
        return self._paths.get(id(tensor))

    @cached_property
    def _paths(self) -> dict[int, str]:
        found: dict[int, str] = {}
        for name, module, _ in self.modules:
            for path, tensor in attribute_tensors(module, name):
                found.setdefault(id(tensor), path)
        return found


def _tag_numbers(name: str, module: nn.Module) -> None:
    for key, value in [*vars(module).items()]:
        if type(value) is int:
            module.__dict__[key] = TaggedInt(value, ReadAttribute(name, key, value))


def join(module: str, name: str) -> str:
    """The qualified name of what is called `name` in a module."""
    return f"{module}.{name}" if module else name


def attribute_tensors(module: nn.Module, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a module keeps in attributes, parameters and buffers aside, with paths."""
    for key, value in vars(module).items():
        kind = type(value)
        is_empty = kind in _CONTAINERS and not value
        if kind not in _SHARED and not is_empty and key not in _STATE:
            yield from tensors_in(value, join(name, key), 4)


def _copy(
    model: nn.Module, modules: Sequence[tuple[str, nn.Module]], memo: dict[int, Any]
) -> nn.Module:
    """Does what `copy.deepcopy` does, several times faster for modules that don't customise it."""
    kept_alive: list[Any] = []  # where deepcopy remembers what it copied
    memo[id(memo)] = kept_alive
    plain: list[tuple[nn.Module, nn.Module]] = []
    for name, module in modules:
        for value in vars(module).values():
            if isinstance(value, torch.optim.Optimizer):
                memo[id(value)] = value
        for _, tensor in attribute_tensors(module, name):
            if not tensor.is_leaf:  # deepcopy refuses the results of a differentiable computation
                memo[id(tensor)] = tensor.detach().clone()
                kept_alive.append(tensor)
        if _is_copied_by_attributes(type(module)):  # type: ignore[arg-type]
            twin = object.__new__(type(module))
            memo[id(module)] = twin
            plain.append((module, twin))
    for module, twin in reversed(plain):  # children first: a GraphModule looks at them
        attributes = {key: _copied(key, value, memo) for key, value in vars(module).items()}
        attributes.pop("_compiled_call_impl", None)
        vars(twin).update(attributes)
    return copy.deepcopy(model, memo)


def _copied(key: str, value: Any, memo: dict[int, Any]) -> Any:
    kind = type(value)
    if kind in _SHARED:
        return value
    if kind in _CONTAINERS and not value:
        return kind()
    if key == "_parameters":
        return dict(value)
    if key in _STATE:
        return {name: copy.deepcopy(part, memo) for name, part in value.items()}
    return copy.deepcopy(value, memo)


@cache
def _is_copied_by_attributes(kind: type[nn.Module]) -> bool:
    """Whether copying a module of this class is copying its attributes."""
    return (
        not hasattr(kind, "__deepcopy__")
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__getstate__ is nn.Module.__getstate__
        and kind.__setstate__ is nn.Module.__setstate__
        and not any("__slots__" in vars(base) for base in kind.__mro__)
    )
