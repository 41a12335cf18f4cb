"""Deep copies that do not give up where `copy.deepcopy` does.

`copy.deepcopy` raises on a tensor that an autograd graph produced (a module that caches its last
result holds one) and on locks, files and sockets. Here the first is copied without its graph, the
others are shared between original and copy, what holds them is not, and all of them are named.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import cache
from types import MethodType
from typing import Any, Final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.tensors import tensors_in

Memo = dict[int, Any]

_ATOMS: Final = frozenset(
    (int, float, complex, bool, str, bytes, type(None), type, torch.dtype, torch.device)
)
_CONTAINERS: Final = frozenset((dict, OrderedDict, set, list, tuple))
_STATE: Final = ("_parameters", "_buffers", "_modules")


def clone(module: nn.Module, memo: Memo) -> tuple[nn.Module, list[str]]:
    """Copies a module.

    Args:
        module: What to copy.
        memo: As for `copy.deepcopy`: the id of an object of the original, and what stands for it in
            the copy. It is filled in.

    Returns:
        The copy, and a line for everything that is not copied as it was.
    """
    notes = []
    kept_alive = memo.setdefault(id(memo), [])  # where deepcopy remembers what it copied
    for path, each in module.named_modules():
        for name, tensor in (*_state(each, path), *attribute_tensors(each, path)):
            if not tensor.is_leaf and id(tensor) not in memo:
                memo[id(tensor)] = tensor.detach().clone()
                kept_alive.append(tensor)
                notes.append(f"{name}: a cached tensor was copied without its autograd graph")
    copied, shared = _or_share(_copy_modules, module, "", memo)
    return copied, [*notes, *shared]


def _state(module: nn.Module, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    for tensors in (module._parameters, module._buffers):
        for key, tensor in tensors.items():
            if tensor is not None:
                yield join(name, key), tensor


def attribute_tensors(module: nn.Module, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors that a module keeps in attributes, parameters and buffers aside, with paths."""
    for key, value in _attributes(module):
        yield from tensors_in(value, join(name, key))


def hooks_by_attribute(module: nn.Module) -> dict[str, Callable[[nn.Module, Any], None]]:
    """The hooks of torch.nn.utils that make an attribute anew before each forward, by its name.

    Pruning and the older weight_norm and spectral_norm keep a product of parameters there.
    """
    found = {}
    for hook in module._forward_pre_hooks.values():
        name = getattr(hook, "_tensor_name", getattr(hook, "name", None))
        is_torchs = any(k.__module__.startswith("torch.nn.utils.") for k in type(hook).__mro__)
        if is_torchs and isinstance(name, str):
            found[name] = hook
    return found


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """What a module holds beside its state and what holds nothing."""
    for key, value in vars(module).items():
        kind = type(value)
        if kind not in _ATOMS and (kind not in _CONTAINERS or value) and key not in _STATE:
            yield key, value


def join(module: str, name: str) -> str:
    """The qualified name of what is called `name` in a module."""
    return f"{module}.{name}" if module else name


def clone_value(value: Any, name: str, memo: Memo) -> tuple[Any, list[str]]:
    """Copies any value; the parts that can't be copied are shared, and named."""
    return _or_share(copy.deepcopy, value, name, memo)


def _or_share(
    function: Callable[[Any, Memo], Any], value: Any, name: str, memo: Memo
) -> tuple[Any, list[str]]:
    before = dict(memo)
    try:
        return function(value, memo), []
    except Exception:
        memo.clear()  # it is full of half-made copies
        memo.update(before)
        notes = [*_share_parts(value, name, memo)]
        if not notes:
            raise
    return function(value, memo), notes


def _copy_modules(module: nn.Module, memo: Memo) -> nn.Module:
    """Does what `copy.deepcopy` does, several times faster for modules of ordinary classes."""
    twins = []
    for each in module.modules():
        if id(each) not in memo and _is_copied_by_attributes(type(each)):  # type: ignore[arg-type]
            memo[id(each)] = object.__new__(type(each))
            twins.append((each, memo[id(each)]))
    for each, twin in reversed(twins):  # children first: a GraphModule looks at them
        attributes = twin.__dict__
        for key, value in vars(each).items():
            kind = type(value)
            if key == "_compiled_call_impl":  # torch's own way of copying drops it too
                continue
            if kind in _ATOMS:
                attributes[key] = value
            elif kind in _CONTAINERS and not value:
                attributes[key] = kind()
            else:
                attributes[key] = _copy_attribute(key, value, memo)
    return copy.deepcopy(module, memo)


def _copy_attribute(key: str, value: Any, memo: Memo) -> Any:
    if type(value) is dict and key in _STATE:
        return {
            name: memo[id(part)] if id(part) in memo else copy.deepcopy(part, memo)
            for name, part in value.items()
        }
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


def replica(module: nn.Module) -> nn.Module:
    """A copy to run: it shares the parameters and optimizers, and nothing that running changes."""
    shared = (*module.parameters(), *held(module, Optimizer))
    copied, _ = clone(module, {id(each): each for each in shared})
    return copied


def held(module: nn.Module, kind: type[Any] | tuple[type[Any], ...]) -> Iterator[Any]:
    """Objects of a kind among the attributes of all modules, also in lists and dicts."""

    def search(value: Any) -> Iterator[Any]:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, dict | list | tuple):
            for part in value.values() if isinstance(value, dict) else value:
                yield from search(part)

    for each in module.modules():
        for _, value in _attributes(each):
            yield from search(value)


def _share_parts(value: Any, name: str, memo: Memo) -> Iterator[str]:
    """Makes the smallest parts that can't be copied stand for themselves."""
    if not isinstance(value, nn.Module):
        yield from _share(value, name, memo, {})
        return
    modules = {id(each): each for each in value.modules()}
    for path, each in value.named_modules():
        for key, part in vars(each).items():
            yield from _share(part, join(path, key), memo, modules)


def _share(value: Any, name: str, memo: Memo, seen: Memo) -> Iterator[str]:
    """Shares what can't be copied; what was seen is looked at elsewhere, so it counts as copied."""
    if id(value) in seen or _why_not(value, memo, seen) is None:
        return
    inside = {**seen, id(value): value}
    for step, part in _parts(value):
        yield from _share(part, name + step, memo, inside)
    error = _why_not(value, memo, seen)
    if error is not None:
        memo[id(value)] = value
        yield f"{name}: a {type(value).__name__} can't be copied ({error}), so both share it"


def _why_not(value: Any, memo: Memo, seen: Memo) -> Exception | None:
    try:
        copy.deepcopy(value, {**memo, **seen})
    except Exception as error:
        return error
    return None


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What a container or an object is made of, with the step that leads there."""
    kind: Any = type(value)
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif kind.__reduce_ex__ is object.__reduce_ex__:
        yield from ((f".{key}", part) for key, part in getattr(value, "__dict__", {}).items())
