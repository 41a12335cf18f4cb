"""Helpers that keep declarations short."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, final

import torch
from torch.nn import functional as F

from morphir.ops.base import AxisRule, Op, Sample, Spelling
from morphir.ops.bounds import BoundsRule
from morphir.ops.broadcast import elementwise

MAP: Final = elementwise()
LINEAR: Final = elementwise("input")
ADD: Final = elementwise("input", "other")


def everywhere(name: str, parameters: str = "", **owners: str) -> tuple[Spelling, ...]:
    """The torch callables of a name: in `torch`, as a method and in `torch.nn.functional`.

    Args:
        name: The name, without an underscore at the end.
        parameters: The parameter list that they share, where it is not the op's.
        owners: Their own parameter lists: `torch=`, `method=`, `functional=`.
    """
    places: tuple[tuple[str, Any], ...] = (
        ("torch", torch),
        ("method", torch.Tensor),
        ("functional", F),
    )
    found: dict[Any, Spelling] = {}
    for place, owner in places:
        function = getattr(owner, name, None)
        if callable(function):
            found.setdefault(function, Spelling(function, owners.get(place, parameters)))
    return tuple(found.values())


@final
class Draw:
    """Draws small float64 tensors for samples."""

    def __init__(self, random_numbers: random.Random) -> None:
        self._generator = torch.Generator().manual_seed(random_numbers.getrandbits(63))

    def __call__(self, *shape: int) -> torch.Tensor:
        """Normal numbers."""
        return torch.randn(shape, generator=self._generator, dtype=torch.float64)

    def positive(self, *shape: int) -> torch.Tensor:
        """Numbers between 0.1 and 1.1."""
        return torch.rand(shape, generator=self._generator, dtype=torch.float64) + 0.1

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Integers from 0 to high - 1."""
        return torch.randint(high, shape, generator=self._generator)

    def flags(self, *shape: int) -> torch.Tensor:
        """Booleans."""
        return self.integers(2, *shape).bool()


def samples(
    make: Callable[[Draw], Iterable[Mapping[str, Any]]],
) -> Callable[[random.Random], Iterable[Sample]]:
    """Turns a function that draws arguments into the `samples` of an op."""
    return lambda random_numbers: map(Sample, make(Draw(random_numbers)))


def with_arguments(*choices: Mapping[str, Any]) -> Callable[[random.Random], Iterable[Sample]]:
    """Samples of an op with one tensor: several shapes, then each choice of further arguments."""

    def make(draw: Draw) -> Iterable[Mapping[str, Any]]:
        for shape in ((3, 4), (2, 1, 3), (5,), ()):
            yield {"input": draw(*shape)}
        for choice in choices:
            yield {"input": 3 * draw(3, 4), **choice}

    return samples(make)


def two_operands(draw: Draw) -> Iterable[Mapping[str, Any]]:
    """Arguments of a binary op: equal shapes, broadcasts, size-1 axes, and a number."""
    yield {"input": draw(3, 4), "other": draw(3, 4)}
    yield {"input": draw(3, 4), "other": draw(4)}
    yield {"input": draw(2, 1, 4), "other": draw(3, 1)}
    yield {"input": draw(3, 1), "other": draw(3, 1)}
    yield {"input": draw(3, 4), "other": draw()}
    yield {"input": draw(3, 4), "other": 0.75}


def method(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method of `torch.Tensor`, which takes itself by position, take it as `input=`."""
    return lambda input, **rest: function(input, **rest)


def infix(function: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Makes a function of Python's `operator` take its operands by keyword."""
    return lambda input, other: function(input, other)


def unary(
    name: str,
    *spellings: Spelling | Callable[..., Any],
    functional: str = "",
    axes: AxisRule = MAP,
    bounds: BoundsRule | None = None,
    **rest: Any,
) -> Op:
    """An elementwise op with one operand, spelled `torch.name`, `x.name()` and `F.name`.

    Args:
        name: Its name in torch.
        spellings: Other spellings.
        functional: The parameter list of `F.name` where it differs.
        axes: Its axis rule.
        bounds: Its bounds.
        rest: Further fields of the declaration.
    """
    fields: dict[str, Any] = {
        "parameters": "input",
        "run": getattr(torch, name, None),
        "samples": with_arguments(),
        **rest,
    }
    every = (*everywhere(name, functional=functional), *spellings)
    return Op(name=name, spellings=every, axes=axes, bounds=bounds, **fields)
