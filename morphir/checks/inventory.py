"""An inventory: what there is to know about a model and its optimizers from outside."""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final, final

import numpy as np
import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks.bits import fingerprint
from morphir.cloning import hooks_by_attribute

_OWN_ATTRIBUTES: Final = "_morphir"  # what surgery leaves on a module
_LISTED: Final = ("_parameters", "_buffers", "_modules", "training")  # looked at elsewhere
_COMPILED: Final = "_compiled_call_impl"  # a cache, which copies lose

_QUICK: Final = (bool, int, str, type(None))  # nearly all values of modules are
_CODE: Final = (FunctionType, BuiltinFunctionType, ModuleType, type)
_PLAIN: Final = (int, float, str, complex, torch.dtype)

# Facts that were not taken of every tensor.
NUMBERS: Final = ("bits", "bits of the gradient", "strides")

Facts = Mapping[str, object]
Group = tuple[Facts, Mapping[str, object]]  # options, and the state of each parameter


@final
@dataclass(frozen=True, eq=False)
class Inventory:
    """What there is to know about a model from outside, taken at one moment.

    Attributes:
        modules: Qualified name to facts about the module.
        aliases: The other names of modules that are registered several times.
        tensors: Qualified name to facts about the parameter or buffer.
        shared: For each name of a tensor the names that mean the same tensor, and those that look
            at the same memory.
        keys: Keys of the state_dict in order.
        groups: One entry per optimizer and group: its options, its parameters' names, and their
            state.
    """

    modules: Mapping[str, Facts]
    aliases: Mapping[str, tuple[str, ...]]
    tensors: Mapping[str, Facts]
    shared: Mapping[str, tuple[frozenset[str], frozenset[str]]]
    keys: tuple[str, ...]
    groups: tuple[Group, ...]

    @classmethod
    def of(
        cls, model: nn.Module, optimizers: Sequence[Optimizer] = (), *, bits: bool = True
    ) -> Inventory:
        """Takes inventory.

        Args:
            model: The model; it is only looked at.
            optimizers: The optimizers over it.
            bits: Whether to look at the numbers too, every one of them.
        """
        named = [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]
        names: dict[int, set[str]] = {}
        memory: dict[object, set[str]] = {}
        for name, tensor in named:
            names.setdefault(id(tensor), set()).add(name)
            memory.setdefault(_memory(tensor), set()).add(name)
        walked = [*model.named_modules(remove_duplicate=False)]
        layers, called = _recurrent(walked), _names(walked)

        def near(name: str, tensor: torch.Tensor) -> Iterator[str]:
            for other in memory[_memory(tensor)]:
                is_own = other in names[id(tensor)]
                if is_own or layers.get(other, other) != layers.get(name, name):
                    yield other

        known: dict[int, Facts] = {}
        for _, tensor in named:
            if id(tensor) not in known:
                known[id(tensor)] = _tensor_facts(tensor, bits=bits)
        return cls(
            {first: _module_facts(module) for module, (first, *_) in called},
            {first: tuple(others) for _, (first, *others) in called if others},
            {name: known[id(tensor)] for name, tensor in named},
            {
                name: (frozenset(names[id(tensor)]), frozenset(near(name, tensor)))
                for name, tensor in named
            },
            tuple(model.state_dict()),
            tuple(_group_facts(optimizers, names, bits=bits)),
        )

    def is_structured_as(self, other: Inventory) -> bool:
        """Whether two differ in nothing but numbers, gradients and what optimizers keep."""
        ignored = {*NUMBERS, "gradient"}

        def structure(each: Inventory) -> tuple[object, ...]:
            tensors = {
                name: {key: fact for key, fact in facts.items() if key not in ignored}
                for name, facts in each.tensors.items()
            }
            return each.modules, each.aliases, tensors, each.shared, each.keys

        return structure(self) == structure(other)


def _recurrent(modules: Sequence[tuple[str, nn.Module]]) -> dict[str, int]:
    """The weights of recurrent layers, which torch lays into one memory, with their layer."""
    return {
        f"{name}.{key}": id(module)
        for name, module in modules
        if isinstance(module, nn.RNNBase)
        for key in module._parameters
    }


def _names(modules: Sequence[tuple[str, nn.Module]]) -> list[tuple[nn.Module, list[str]]]:
    """Each module once, with all its names."""
    names: dict[int, tuple[nn.Module, list[str]]] = {}
    for name, module in modules:
        names.setdefault(id(module), (module, []))[1].append(name)
    return [*names.values()]


def _module_facts(module: nn.Module) -> dict[str, object]:
    kind = type(module)
    facts: dict[str, object] = {
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "training flag": module.training,
        "non-persistent buffers": tuple(sorted(module._non_persistent_buffers_set)),
    }
    made = hooks_by_attribute(module)  # by each forward, before anyone reads it
    left_out = {*_LISTED, _COMPILED, *made}
    for key, value in vars(module).items():
        if key.endswith("_hooks") and isinstance(value, dict):
            if value:
                facts[key.strip("_").replace("_", " ")] = tuple(map(_name, value.values()))
        elif key not in left_out and not key.startswith(_OWN_ATTRIBUTES):
            facts[f"attribute {key}"] = _plain(value)
    return facts


def _tensor_facts(tensor: torch.Tensor, *, bits: bool) -> dict[str, object]:
    hooks = (getattr(tensor, "_backward_hooks", None) or {}).values()
    late = (getattr(tensor, "_post_accumulate_grad_hooks", None) or {}).values()
    facts: dict[str, object] = {
        "class": type(tensor).__qualname__,
        "dtype": tensor.dtype,
        "shape": tuple(tensor.shape),
        "strides": tensor.stride() if tensor.layout is torch.strided else None,
        "device": tensor.device,
        "requires_grad": tensor.requires_grad,
        "gradient": tensor.is_leaf and tensor.grad is not None,
        "hooks": tuple(map(_name, (*hooks, *late))),
    }
    if bits:
        facts["bits"] = fingerprint(tensor)
    if bits and tensor.is_leaf and tensor.grad is not None:
        facts["bits of the gradient"] = fingerprint(tensor.grad)
    return facts


def _group_facts(
    optimizers: Sequence[Optimizer], names: Mapping[int, set[str]], *, bits: bool
) -> Iterator[Group]:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            options = {k: _plain(v) for k, v in group.items() if k not in ("params", "param_names")}
            strangers = itertools.count()  # by their own order: the model's may come and go
            held = {}
            for p in group["params"]:
                own = names.get(id(p)) or {f"tensor {next(strangers)} that is not the model's"}
                state = optimizer.state.get(p, {}).items()
                held[min(own)] = tuple(sorted((key, _kept(v, bits=bits)) for key, v in state))
            yield {"class": type(optimizer).__qualname__, **options}, held


def _plain(value: object) -> object:
    """A value that can be compared: itself if it is plain or code, else only its type."""
    kind = type(value)
    if kind in _QUICK or isinstance(value, _CODE):
        return value
    if isinstance(value, _PLAIN):
        return (kind.__name__, repr(value)) if isinstance(value, float) else value
    if isinstance(value, tuple | list):
        return (kind.__name__, *map(_plain, value))
    if isinstance(value, nn.Parameter):  # looked at elsewhere; its size may change
        return ("parameter", str(value.dtype))
    if isinstance(value, torch.Tensor):
        return ("tensor", str(value.dtype), tuple(value.shape))
    return f"<{kind.__qualname__}>"


def _kept(value: object, *, bits: bool) -> object:
    """An entry of an optimizer's state; of a tensor also the bits."""
    if bits and isinstance(value, torch.Tensor):
        return ("tensor", str(value.dtype), tuple(value.shape), fingerprint(value))
    return _plain(value)


def _name(function: object) -> str:
    function = getattr(function, "hook", function)  # torch wraps some, and copies lose the name
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def random_state() -> str:
    """A digest of the global random states."""
    _, keys, position, *rest = np.random.get_state()
    parts = (position, rest, random.getstate())
    found = hashlib.sha256(repr(parts).encode())
    found.update(np.asarray(keys).tobytes())
    found.update(torch.get_rng_state().numpy().tobytes())
    return found.hexdigest()


def memories(model: nn.Module, optimizers: Sequence[Optimizer] = ()) -> dict[int, str]:
    """The addresses of what a model and its optimizers hold, with a name each."""
    strided = [
        (name, each)
        for name, each in _held(model, optimizers)
        if each.layout is torch.strided and each.numel()
    ]
    return {each.untyped_storage().data_ptr(): name for name, each in strided}


def _held(model: nn.Module, optimizers: Sequence[Optimizer]) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_buffers()
    for name, parameter in model.named_parameters():
        yield name, parameter
        if parameter.grad is not None:
            yield f"the gradient of {name}", parameter.grad
        for optimizer in optimizers:
            for entry, value in optimizer.state.get(parameter, {}).items():
                if isinstance(value, torch.Tensor):
                    yield f"{entry} of {name}", value


def _memory(tensor: torch.Tensor) -> object:
    if tensor.layout is not torch.strided or tensor.numel() == 0:
        return id(tensor)
    return tensor.untyped_storage().data_ptr() or id(tensor)
