"""Where example inputs come from: the caller, or what is known about the model."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.tensors import map_tensors, tensors_in

if TYPE_CHECKING:
    from morphir.frontend.entry import EntryPoint

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


def check_keys(example_inputs: Any, entries: Sequence[EntryPoint]) -> None:
    """Refuses keyword arguments in place of a dict from entry point to arguments.

    Raises:
        RefusalError: All keys are parameters of an entry point, and none is an entry point.
    """
    keys = [*example_inputs] if isinstance(example_inputs, Mapping) else []
    if not keys or any(entry.name in keys for entry in entries):
        return
    for entry in entries:
        if {*keys} <= entry.signature.parameters.keys():
            named = ", ".join(f"{key!r}: ..." for key in keys)
            raise RefusalError(
                f"the keys of example_inputs are {_listed(keys)}, which are the names of "
                f"parameters of {entry.name!r}, expected those of entry points",
                suggestions=[f"example_inputs={{{entry.name!r}: ((), {{{named}}})}}"],
            )


def check_taken(example_inputs: Any, entries: Sequence[EntryPoint]) -> None:
    """Refuses inputs for an entry point that takes none.

    Raises:
        RefusalError: There are example inputs, and an entry point has no parameters.
    """
    takes = [entry.name for entry in entries if entry.signature.parameters]
    for entry in entries:
        if example_inputs is not None and entry.name not in takes:
            others = [f"entry_points=({_listed(takes)},)"] if takes else []
            raise RefusalError(
                f"{entry.name!r} takes no arguments, so it has no example inputs",
                suggestions=["leave example_inputs out", *others],
            )


def given_inputs(example_inputs: Any, entry_points: Sequence[str]) -> dict[str, Arguments]:
    """Sorts `example_inputs` by entry point.

    Args:
        example_inputs: A tuple of positional arguments for all entry points, or a dict from entry
            point to a tuple or to `(args, kwargs)`.
        entry_points: The entry points to record.

    Raises:
        RefusalError: An entry point has no inputs, a key is no entry point, or there is no tensor
            among the arguments.
    """
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    if isinstance(example_inputs, Mapping):
        unknown = [key for key in example_inputs if key not in entry_points]
        missing = [name for name in entry_points if name not in example_inputs]
        if unknown:
            raise RefusalError(
                f"example_inputs has inputs for {_listed(unknown)}, which is not among the entry "
                f"points {_listed(entry_points)}",
                suggestions=[f"entry_points=({_listed([*entry_points, *unknown])})"],
            )
        if missing:
            raise RefusalError(
                f"example_inputs has inputs for {_listed(example_inputs) or 'nothing'}, "
                f"and none for {_listed(missing)}",
                suggestions=[
                    f"example_inputs={{..., {missing[0]!r}: (x,)}}",
                    "a tuple of positional arguments, used for all entry points",
                ],
            )
        by_entry = {name: _arguments(example_inputs[name]) for name in entry_points}
    else:
        by_entry = {name: _arguments(example_inputs) for name in entry_points}
    for name, arguments in by_entry.items():
        _check_tensors(name, arguments)
    return by_entry


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(repr(name) for name in names)


def _arguments(given: Any) -> Arguments:
    if isinstance(given, torch.Tensor):
        return (given,), {}
    if isinstance(given, Mapping):
        return (), dict(given)
    if isinstance(given, tuple | list):
        if len(given) == 2 and isinstance(given[0], tuple) and isinstance(given[1], Mapping):
            return given[0], dict(given[1])
        return tuple(given), {}
    raise RefusalError(
        f"example_inputs is of type {type(given).__name__}, expected a tuple of arguments",
        suggestions=["example_inputs=(x,)", "example_inputs={'forward': ((x,), {'mask': mask})}"],
    )


def _check_tensors(name: str, arguments: Arguments) -> None:
    arrays = [
        part for part in (*arguments[0], *arguments[1].values()) if isinstance(part, np.ndarray)
    ]
    if arrays:
        raise RefusalError(
            f"the example inputs of {name!r} hold a numpy array, which the recording cannot follow",
            suggestions=["torch.as_tensor(array)"],
        )
    if not any(True for _ in tensors_in(arguments)):
        raise RefusalError(
            f"there is no tensor among the example inputs of {name!r}: nothing can be recorded",
            suggestions=["example_inputs=(x,) with the tensors that the model takes"],
        )
    if any(tensor.is_meta for _, tensor in tensors_in(arguments)):
        raise RefusalError(
            f"the example inputs of {name!r} are on the meta device, which holds no numbers"
        )


def known_inputs(model: nn.Module, entry: EntryPoint) -> Arguments | None:
    """Makes example inputs where they follow from what is known about the entry point's module.

    In order: an observation space (Stable-Baselines3), `dummy_inputs` (Hugging Face), the first
    layer that the module registers when the entry point takes a single tensor.
    """
    module = model.get_submodule(entry.owner)
    parameters = required_parameters(entry.signature)
    if hasattr(module, "observation_space"):
        return _from_spaces(module, parameters)
    dummy = getattr(module, "dummy_inputs", None) if entry.method == "forward" else None
    if isinstance(dummy, dict) and dummy and dummy.keys() <= entry.signature.parameters.keys():
        return (), _within_vocabulary(module, dummy)
    return _from_first_layer(module) if len(parameters) == 1 else None


def _within_vocabulary(model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
    """Token ids that a model with a small vocabulary has too."""
    size = getattr(getattr(model, "config", None), "vocab_size", None)

    def wrap(tensor: torch.Tensor) -> torch.Tensor:
        return tensor % size if isinstance(size, int) and tensor.dtype == torch.int64 else tensor

    return {key: map_tensors(value, wrap) for key, value in inputs.items()}


def required_parameters(signature: inspect.Signature) -> list[str]:
    """Names of the parameters without a default; `*args` and `**kwargs` don't count."""
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        p.name
        for p in signature.parameters.values()
        if p.default is inspect.Parameter.empty and p.kind not in kinds
    ]


def _from_spaces(model: Any, parameters: Sequence[str]) -> Arguments | None:
    arguments: list[Any] = []
    for name in parameters:
        space = model.action_space if "action" in name else model.observation_space
        space = copy.deepcopy(space)
        space.seed(0)
        batch = _stack([space.sample(), space.sample()])
        if type(space).__name__ == "MultiBinary":  # stored as numbers, as which they are used
            batch = batch.float()
        arguments.append(batch)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    return tuple(map_tensors(argument, lambda t: t.to(device)) for argument in arguments), {}


def _stack(samples: list[Any]) -> Any:
    if isinstance(samples[0], dict):
        return {key: _stack([sample[key] for sample in samples]) for key in samples[0]}
    if isinstance(samples[0], tuple):
        return tuple(_stack([*parts]) for parts in zip(*samples, strict=True))
    return torch.as_tensor(np.stack([np.asarray(sample) for sample in samples]))


def _from_first_layer(model: nn.Module) -> Arguments | None:
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(module, nn.Embedding) and isinstance(weight, torch.Tensor):
            ids = torch.arange(8).reshape(2, 4) % module.num_embeddings
            return (ids.to(weight.device),), {}
        features = _input_features(module)
        if features is not None and isinstance(weight, torch.Tensor):
            x = torch.randn(2, features, generator=torch.Generator().manual_seed(0))
            return (x.to(device=weight.device, dtype=weight.dtype),), {}
        if next(module.parameters(recurse=False), None) is not None:
            return None
    return None


def _input_features(module: nn.Module) -> int | None:
    """How many features a layer takes that works on rows of them."""
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.BatchNorm1d):
        return module.num_features
    if isinstance(module, nn.LayerNorm | nn.RMSNorm) and len(module.normalized_shape) == 1:
        return int(module.normalized_shape[0])
    return None
