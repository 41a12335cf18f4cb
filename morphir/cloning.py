"""Deep copies that do not give up where `copy.deepcopy` does.

`copy.deepcopy` raises on a tensor that an autograd graph produced (a module that caches its last
result holds one) and on locks, files and sockets. Here the first is copied without its graph, the
others are shared between original and copy, and both are named.
"""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
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
    for path, each in module.named_modules():
        for key, value in vars(each).items():
            if type(value) in _ATOMS or (type(value) in _CONTAINERS and not value):
                continue
            for name, tensor in tensors_in(value, f"{path}.{key}".lstrip(".")):
                if not tensor.is_leaf and id(tensor) not in memo:
                    memo[id(tensor)] = tensor.detach().clone()
                    notes.append(f"{name}: a cached tensor was copied without its autograd graph")
    copied, shared = _or_share(_copy_modules, module, "", memo)
    return copied, [*notes, *shared]


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
        if id(each) not in memo and _is_copied_by_attributes(type(each)):
            memo[id(each)] = object.__new__(type(each))
            twins.append((each, memo[id(each)]))
    for each, twin in reversed(twins):  # children first: a GraphModule looks at them
        for key, value in vars(each).items():
            if key != "_compiled_call_impl":  # torch's own way of copying drops it too
                twin.__dict__[key] = _copy_attribute(value, memo)
    return copy.deepcopy(module, memo)


def _copy_attribute(value: Any, memo: Memo) -> Any:
    kind = type(value)
    if kind in _ATOMS:
        return value
    return kind() if kind in _CONTAINERS and not value else copy.deepcopy(value, memo)


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


def held(module: nn.Module, kind: type[Any]) -> Iterator[Any]:
    """Objects of a kind among the attributes of all modules, also in lists and dicts."""

    def search(value: Any) -> Iterator[Any]:
        if isinstance(value, kind):
            yield value
        elif isinstance(value, dict | list | tuple):
            for part in value.values() if isinstance(value, dict) else value:
                yield from search(part)

    for each in module.modules():
        yield from search(vars(each))


def _share_parts(value: Any, name: str, memo: Memo) -> Iterator[str]:
    """Makes the smallest parts that can't be copied stand for themselves."""
    if not isinstance(value, nn.Module):
        yield from _share(value, name, memo, {})
        return
    modules = {id(each): each for each in value.modules()}
    for path, each in value.named_modules():
        for key, part in vars(each).items():
            yield from _share(part, f"{path}.{key}".lstrip("."), memo, modules)


def _share(value: Any, name: str, memo: Memo, modules: Memo) -> Iterator[str]:
    try:
        # Modules stand for themselves here: each is looked at on its own.
        copy.deepcopy(value, {**memo, **modules})
    except Exception as error:
        parts = [*_parts(value)]
        for key, part in parts:
            yield from _share(part, f"{name}[{key!r}]", memo, modules)
        if not parts:
            memo[id(value)] = value
            yield f"{name}: a {type(value).__name__} can't be copied ({error}), so both share it"


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(value, dict):
        return value.items()
    return enumerate(value) if isinstance(value, list | tuple) else ()
