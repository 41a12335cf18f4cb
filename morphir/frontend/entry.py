"""Entry points: methods of the model, methods of a submodule, or a submodule's own call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend.inputs import Arguments, required_parameters
from morphir.tensors import tensors_in

_SHOWN: Final = 6


@final
@dataclass(frozen=True, eq=False)
class EntryPoint:
    """What is recorded as one graph.

    Attributes:
        name: As the user wrote it: `forward`, `get_value`, `policy.body`, `policy.act`.
        owner: Qualified name of the module it belongs to; "" is the model itself.
        method: The method; `forward` stands for the module's own call, with its hooks.
        signature: Its signature, whose parameters name the inputs.
    """

    name: str
    owner: str
    method: str
    signature: inspect.Signature

    def function(self, model: nn.Module) -> Callable[..., Any]:
        """What to call on a model."""
        module = model.get_submodule(self.owner)
        return module if self.method == "forward" else getattr(module, self.method)

    @property
    def usage(self) -> str:
        """How inputs for it are given, for suggestions: `example_inputs=(x, mask)`."""
        names = required_parameters(self.signature) or ["x"]
        given = f"({names[0]},)" if len(names) == 1 else f"({', '.join(names)})"
        if self.name != "forward":
            given = f"{{{self.name!r}: {given}}}"
        return f"example_inputs={given}"

    def tensors(self, arguments: Arguments) -> Iterator[tuple[str, torch.Tensor]]:
        """The tensors among arguments with their paths, which begin with a parameter's name."""
        bound = self.signature.bind(*arguments[0], **arguments[1])
        for name, value in bound.arguments.items():
            yield from tensors_in(value, name)


def resolve_entry_points(model: nn.Module, names: Sequence[str]) -> tuple[EntryPoint, ...]:
    """Finds the entry points of a model.

    Raises:
        RefusalError: A name is neither a method nor a module; the message lists those that could be
            meant.
    """
    if isinstance(names, str) or not names or not all(isinstance(name, str) for name in names):
        raise RefusalError(
            f"entry_points is {names!r}, expected a tuple of method names",
            suggestions=["entry_points=('forward',)"],
        )
    return tuple(_resolve(model, name) for name in dict.fromkeys(names))


def _resolve(model: nn.Module, name: str) -> EntryPoint:
    owner, _, method = name.rpartition(".")
    try:
        target = getattr(model.get_submodule(owner), method)
    except AttributeError:
        target = None
    if isinstance(target, nn.Module):
        owner, method, target = name, "forward", target.forward
    unimplemented = getattr(target, "__name__", "") == "_forward_unimplemented"
    if callable(target) and not unimplemented:
        return EntryPoint(name, owner, method, inspect.signature(target))
    kind = type(model.get_submodule(owner) if unimplemented else model).__name__
    found = f"{kind} has no forward" if unimplemented else f"{kind} has no method {name!r}"
    near = difflib.get_close_matches(name, _callable_names(model), _SHOWN, 0.6)
    raise RefusalError(
        f"{found}, so there is no entry point to record",
        suggestions=[
            f"entry_points=({each!r},)" for each in near or public_methods(model)[:_SHOWN]
        ],
    )


def _callable_names(model: nn.Module) -> list[str]:
    """What may have been meant: the methods of the model, its parts, and their methods."""
    parts = dict(model.named_modules())
    methods = (f"{path}.{m}".lstrip(".") for path in parts for m in public_methods(parts[path]))
    return [*methods, *filter(None, parts)]


def public_methods(model: nn.Module) -> list[str]:
    """Methods that the model's own classes define, in order of definition."""
    names = [
        name
        for kind in type(model).__mro__
        if not kind.__module__.startswith("torch.") and kind is not object
        for name, member in vars(kind).items()
        if callable(member) and not name.startswith("_") and not isinstance(member, type)
    ]
    return [*dict.fromkeys(names)]
