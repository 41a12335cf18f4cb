"""A copy to record on, so that looking at a model never changes it.

FRONT-1   recording changes neither the module, nor its buffers, gradients, flags and hooks, nor
          the random state of torch, numpy and Python; also when the model raises
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from types import GeneratorType
from typing import Any, NoReturn, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.cloning import attribute_tensors, clone, held, join
from morphir.errors import RefusalError
from morphir.frontend.attributes import tag_numbers
from morphir.frontend.sizes import SizeWatch
from morphir.frontend.witness import memory_of


@final
class Scratch:
    """A copy of a module that shares its parameters, and what can't be copied.

    A forward only reads parameters, and they may be large. Buffers and every other attribute are
    copied; optimizers that hang on the module are shared, since a forward does not step them, and
    so are locks, files and the like. Integer attributes that may be sizes become tagged integers.

    Attributes:
        module: The copy.
        modules: Every module of the copy with its first qualified name and its original.
        names: Identity of each parameter and buffer of the copy to its first qualified name.
        parameters: The parameters that the copy shares (TorchScript copies its own).
        buffers: The buffers of the copy by first qualified name.
        originals: Identity of every other tensor of the copy to the tensor it was copied from.
        memory: Memory of each parameter and of each buffer of the original, to the copy's tensor.
        shared: The objects that can't be copied.
        sizes: What takes note of what becomes of tagged integers.
    """

    def __init__(self, model: nn.Module) -> None:
        memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
        for part in held(model, (Optimizer, GeneratorType)):
            memo[id(part)] = part if isinstance(part, Optimizer) else _untouchable()
        given = {*memo}
        originals = [*model.named_modules()]
        self.module, _ = clone(model, memo)
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
            for original in memo[id(memo)]
            if isinstance(original, torch.Tensor) and id(original) in memo
        }
        self.shared = [part for key, part in memo.items() if id(part) == key and key not in given]
        self.sizes = SizeWatch()
        for name, module, _ in self.modules:
            tag_numbers(name, module, self.names, self.sizes)

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


def _untouchable() -> Iterator[NoReturn]:
    """A generator that stands for one of the user's, which can be neither copied nor wound back."""
    return (_refuse_to_advance() for _ in range(1))


def _refuse_to_advance() -> NoReturn:
    raise RefusalError(
        "the model takes from a Python generator while it runs, which cannot be undone",
        suggestions=["a counter or a list in its place"],
    )
