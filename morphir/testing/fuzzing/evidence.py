"""Evidence about two models that owes nothing to the checkers: they are run and compared.

FUZZ-2  what is proved agrees in float64, on inputs of several sizes, in eval mode and, where
        nothing is drawn, in train mode; how far apart rounding brings them is measured on the
        old model, in float32
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final

import torch
from torch import nn

from morphir.ir import Grade, TensorChange
from morphir.randomness import forked_random_state
from morphir.testing.fuzzing.duality import kept, pulled_back

Inputs = Mapping[str, tuple[torch.Tensor, ...]]
Feed = Callable[[int], tuple[Inputs, Inputs]]  # from a seed to inputs for the old and the new model

_DROPOUT: Final = (nn.Dropout, nn.Dropout2d)
_SCALES: Final = (1.0, 1e-2, 30.0)
_ROUNDING: Final = 1e-5  # of float64 beside float32 it is 2e-9; the rest is for longer sums
_LEAST: Final = 1e-11  # of the largest output
_KINK: Final = 1e-12  # how far parameters move to see whether a gradient jumps there
_GRADIENT: Final = 1e-6  # of the largest number of a gradient


def outputs(model: nn.Module, inputs: Inputs, *, train: bool = False) -> dict[str, torch.Tensor]:
    """What the entry points return; the model is a copy that may be used up.

    Args:
        model: The model.
        inputs: Arguments by entry point.
        train: Whether in train mode.
    """
    model.train(train)
    with torch.no_grad(), forked_random_state(0):
        return {name: getattr(model, name)(*given) for name, given in inputs.items()}


def cast(inputs: Inputs, dtype: torch.dtype, scale: float = 1.0) -> dict[str, Any]:
    """Inputs in another dtype; numbers that are no floats stay.

    Args:
        inputs: Arguments by entry point.
        dtype: The dtype.
        scale: A factor.
    """

    def changed(x: torch.Tensor) -> torch.Tensor:
        return (x * scale).to(dtype) if x.is_floating_point() else x

    return {name: tuple(map(changed, given)) for name, given in inputs.items()}


def output_difference(old: nn.Module, new: nn.Module, feed: Feed, grade: Grade) -> str:
    """How two models differ further than rounding explains, or "".

    Args:
        old: The old model.
        new: The new one, whose outputs may be longer.
        feed: Inputs for both.
        grade: What is promised: less than a proof may differ by roundings of the model's dtype.
    """
    draws = any(isinstance(each, _DROPOUT) for each in old.modules())
    for number, scale in enumerate(_SCALES):
        given, longer = feed(number)
        for train in (False,) if draws else (False, True):
            before, after, allowed = _outputs(old, new, given, longer, scale, train, grade)
            for name, expected in before.items():
                gap = _gap(expected, _cut(after[name], expected.shape))
                if isfinite(allowed[name]) and not gap <= allowed[name]:
                    return (
                        f"{name} differs by {gap:.2g} in {'train' if train else 'eval'} mode on "
                        f"inputs of size {scale:g}, where rounding explains {allowed[name]:.2g}"
                    )
    return ""


def _outputs(
    old: nn.Module,
    new: nn.Module,
    given: Inputs,
    longer: Inputs,
    scale: float,
    train: bool,
    grade: Grade,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, float]]:
    """What both return in float64, and by how much that may differ."""

    def run(model: nn.Module, inputs: Inputs, dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return outputs(copy.deepcopy(model).to(dtype), cast(inputs, dtype, scale), train=train)

    own = next(each.dtype for each in old.parameters())
    rounded, factor, least = torch.float32, _ROUNDING, _LEAST
    if grade is Grade.TESTED:
        rounded, factor, least = own, 50.0, 1e3 * torch.finfo(own).eps
    before, after = run(old, given, torch.float64), run(new, longer, torch.float64)
    near = run(old, given, rounded)
    allowed = {
        name: factor * _gap(each, near[name]) + least * _size(each) for name, each in before.items()
    }
    return before, after, allowed


def gradient_difference(
    old: nn.Module, new: nn.Module, feed: Feed, tensors: Mapping[str, TensorChange]
) -> str:
    """Which gradient does not pull back to the old one, or "" (FUZZ-4).

    Args:
        old: The old model.
        new: The new one.
        feed: Inputs for both.
        tensors: How the axes of parameters changed, by name.
    """
    given, longer = feed(7)
    old = _reduced(old, new, tensors)
    before, moved = _gradients(old, given), _gradients(_moved(old), given)
    after = _gradients(new, longer, like=outputs(copy.deepcopy(old).double(), _double(given)))
    for name, expected in before.items():
        if name not in after or _gap(expected, moved[name]) > _GRADIENT * _size(expected):
            continue  # removed, or a gradient that jumps
        found, change = after[name], tensors.get(name)
        if change is not None:
            found, there = pulled_back(found, change), kept(expected, change)
            expected, found = expected * there, found * there
        if found.shape != expected.shape:
            return f"the gradient of {name} has another shape"
        if expected.isfinite().all() and not (
            _gap(expected, found) <= _GRADIENT * max(map(_size, before.values()))
        ):
            return f"the gradient of {name} is off by {_gap(expected, found):.2g}"
    return ""


def _reduced(old: nn.Module, new: nn.Module, tensors: Mapping[str, TensorChange]) -> nn.Module:
    """The old model without what is left out: its numbers are 0, and constants are in biases."""
    old = copy.deepcopy(old)
    entries, others = (
        {**dict(each.named_parameters()), **dict(each.named_buffers())} for each in (old, new)
    )
    with torch.no_grad():
        for name, change in tensors.items():
            there = kept(entries[name], change)
            entries[name].mul_(there)
            if there.all() and entries[name].shape == others[name].shape:
                entries[name].copy_(others[name])
    return old


def _gradients(
    model: nn.Module, inputs: Inputs, like: Mapping[str, torch.Tensor] | None = None
) -> dict[str, torch.Tensor]:
    """Gradients of a fixed weighting of what the old model returns."""
    model = copy.deepcopy(model).double().eval()
    parameters = {name: each.requires_grad_() for name, each in model.named_parameters()}
    terms = []
    for name, given in _double(inputs).items():
        returned = getattr(model, name)(*given)
        shape = returned.shape if like is None else like[name].shape
        weights = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double()
        terms.append((_cut(returned, shape) * weights).sum())
    wanted = [*parameters.values()]
    found = torch.autograd.grad(torch.stack(terms).sum(), wanted, allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def _moved(model: nn.Module) -> nn.Module:
    moved = copy.deepcopy(model).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for each in moved.parameters():
            each.add_(_KINK * torch.randn(each.shape, generator=generator).double())
    return moved


def _double(inputs: Inputs) -> dict[str, Any]:
    return cast(inputs, torch.float64)


def _cut(tensor: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    return tensor[tuple(slice(0, size) for size in shape)]


def _gap(expected: torch.Tensor, found: torch.Tensor) -> float:
    if expected.shape != found.shape:
        return float("inf")
    return float((expected.double() - found.double()).abs().max()) if expected.numel() else 0.0


def _size(tensor: torch.Tensor) -> float:
    return float(tensor.double().abs().max()) if tensor.numel() else 0.0
