"""Functions that go on with the original of a copy: nothing can point a closure elsewhere.

`copy.deepcopy` shares functions. A bound method it binds to the copy, and a `functools.partial` it
makes anew, so these are not meant unless they lead to a function that closes over the model.

BACK-5   where an attribute is such a function, the model is not copied; such a hook is named; and
         a copy that is seen to compute with a tensor of its original is not handed over
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

from torch import nn
from torch.optim import Optimizer

from morphir.cloning import join
from morphir.errors import RefusalError
from morphir.ir import Program

_SUGGESTIONS: Final = ("inplace=True", "a method in place of the function")
_HOOKS: Final = "_hooks"
_Names = Mapping[int, str]


def check_attributes(model: nn.Module) -> None:
    """Refuses a model that keeps a function over its own parts in an attribute.

    Raises:
        RefusalError: A copy would go on with the parts of the original.
    """
    parts = _parts_of(model)
    for path, module in model.named_modules():
        for key, value in vars(module).items():
            part = None if _is_elsewhere(key) else _reached(value, parts, set(), shared=False)
            if part is not None:
                raise RefusalError(
                    f"{join(path, key)!r} holds a function that refers to {part}: in a copy it "
                    "would go on with that of the original",
                    nodes=[join(path, key)],
                    suggestions=_SUGGESTIONS,
                )


def check_computes_alone(program: Program, original: nn.Module) -> None:
    """Refuses a copy that computes with tensors of its original.

    Args:
        program: What was recorded of the copy.
        original: What it is a copy of.

    Raises:
        RefusalError: It does.
    """
    named = (*original.named_parameters(), *original.named_buffers())
    own = {tensor.data_ptr(): name for name, tensor in named if tensor.numel()}
    for entry in program.state.values():
        if entry.kind == "constant" and entry.tensor is not None and entry.tensor.numel():
            name = own.get(entry.tensor.data_ptr())
            if name is not None:
                raise RefusalError(
                    f"the copy goes on computing with {name!r} of the original: a function, a hook "
                    "or an object leads there that copies share",
                    nodes=[name],
                    suggestions=_SUGGESTIONS,
                )


def old_closures(model: nn.Module, optimizers: Iterable[Optimizer]) -> Iterator[str]:
    """Names the hooks that hold on to the old model or its optimizers."""
    old = {**_parts_of(model), **{id(o): type(o).__name__ for o in optimizers}}
    places: list[tuple[str, Mapping[str, Any]]] = [
        (path or type(model).__name__, vars(module)) for path, module in model.named_modules()
    ]
    for name, parameter in model.named_parameters():
        names = ("_backward_hooks", "_post_accumulate_grad_hooks")
        places.append((name, {key: getattr(parameter, key) for key in names}))
    places += [(type(o).__name__, vars(o)) for o in optimizers]
    for name, attributes in places:
        for key, hooks in attributes.items():
            if key.endswith(_HOOKS) and isinstance(hooks, dict):
                for hook in hooks.values():
                    if _reached(hook, old, set(), shared=False) is not None:
                        yield f"{name}: a function in {key} still refers to the old model"


def _parts_of(model: nn.Module) -> dict[int, str]:
    """The modules and tensors of a model by identity, with what to call them."""
    tensors = (*model.named_parameters(), *model.named_buffers())
    named = {id(part): repr(name) for name, part in (*model.named_modules(), *tensors)}
    return {**named, id(model): "the model"}


def _is_elsewhere(key: str) -> bool:
    """Whether an attribute is copied, named or left out in a way of its own."""
    own = ("_parameters", "_buffers", "_modules", "_compiled_call_impl")
    return key in own or key.endswith(_HOOKS)


def _reached(value: Any, parts: _Names, seen: set[tuple[int, bool]], *, shared: bool) -> str | None:
    """What part of the model a function leads to that copies share.

    Args:
        value: A function, or what may hold one.
        parts: The parts of the model.
        seen: What need not be looked at again.
        shared: Whether such a function led here already.
    """
    if id(value) in parts:
        return parts[id(value)] if shared else None
    shared = shared or isinstance(value, FunctionType | BuiltinFunctionType)
    if (id(value), shared) in seen:
        return None
    seen.add((id(value), shared))
    found = (_reached(each, parts, seen, shared=shared) for each in _inside(value))
    return next((each for each in found if each is not None), None)


def _inside(value: Any) -> Iterator[Any]:
    """What a function, a method or a container leads to."""
    if isinstance(value, FunctionType):
        for cell in value.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        yield from (value.__defaults__, value.__kwdefaults__, vars(value))
    elif isinstance(value, BuiltinFunctionType):
        yield value.__self__
    elif isinstance(value, MethodType):
        yield from (value.__func__, value.__self__)
    elif isinstance(value, partial):
        yield from (value.func, value.args, value.keywords)
    elif isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
