"""Calling entry points of models that may be changed by it: private copies, fixed random states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import nn
from torch.optim import Optimizer

from morphir.checks.power import LiftToDouble
from morphir.cloning import clone, held
from morphir.randomness import kept_random_state, seed_random_state
from morphir.tensors import map_tensors

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def private_copy(model: nn.Module) -> nn.Module:
    """A copy in eval mode, to be called without a trace on the model; optimizers are shared."""
    copied, _ = clone(model, {id(each): each for each in held(model, Optimizer)})
    return copied.eval()


def double_copy(model: nn.Module) -> nn.Module:
    """A float64 copy in eval mode; the model stays as it is."""
    copied = private_copy(model)
    copied._apply(_doubled)  # type: ignore[no-untyped-call]
    return copied


def doubled(arguments: Arguments) -> Arguments:
    """The same arguments with floating-point tensors in float64."""
    lifted: Arguments = map_tensors(arguments, _doubled)
    return lifted


def _doubled(tensor: torch.Tensor) -> torch.Tensor:
    """In float64, or of two float64 each; `nn.Module.double` leaves complex numbers as they are."""
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def entry_point_of(model: nn.Module, name: str) -> Callable[..., Any]:
    """What to call: `forward` goes through the module itself, so that its hooks run."""
    owner, _, method = name.rpartition(".")
    module = model.get_submodule(owner)
    function: Callable[..., Any] = module if method == "forward" else getattr(module, method)
    return function


def call_entry_point(model: nn.Module, name: str, arguments: Arguments) -> Any:
    """Calls an entry point without gradients, on copies of the arguments.

    It is called from one random state, which it seeds: who calls it keeps the user's.
    """
    args, kwargs = map_tensors(arguments, lambda tensor: tensor.detach().clone())
    seed_random_state(1)
    with torch.no_grad():
        return entry_point_of(model, name)(*args, **kwargs)


@final
@dataclass(frozen=True, eq=False)
class Observation:
    """What a model returned.

    Attributes:
        results: Entry point to returned object.
        failures: Entry point to the error that it raised instead.
    """

    results: Mapping[str, Any] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def observe(
    model: nn.Module, inputs: Mapping[str, Arguments], *, in_double: bool = False
) -> Observation:
    """Calls every entry point on its inputs.

    Args:
        model: A private copy, in float64 with `in_double`.
        inputs: Entry point to arguments.
        in_double: Whether to lift arguments, and the model's own casts, to float64.
    """
    results: dict[str, Any] = {}
    failures: dict[str, str] = {}
    with kept_random_state():
        for name, arguments in inputs.items():
            try:
                if in_double:
                    with LiftToDouble():
                        results[name] = call_entry_point(model, name, doubled(arguments))
                else:
                    results[name] = call_entry_point(model, name, arguments)
            except Exception as error:
                failures[name] = f"{type(error).__name__}: {error}"
    return Observation(results, failures)
