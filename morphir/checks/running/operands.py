"""The arguments of a call with bounds on how far rounding has moved them, and what bounds add to.

A bound is a float64 tensor, one number for each element; `None` where all elements are exact, and
infinite where nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch.utils._pytree import tree_leaves, tree_map

Bound = torch.Tensor | None
Rule = Callable[["Operands", Any], tuple[Any, Any]]

_SLACK: Final = 1 + 2.0**-20  # for the rounding of the bounds themselves


@final
class Unknown(Exception):  # noqa: N818
    """There is no bound."""


@final
class Operands:
    """The arguments of a call, with a bound for each tensor among them.

    Attributes:
        args: As they were given.
        kwargs: As they were given.
        tensors: The tensors among them.
        are_exact: Whether rounding has moved none of them.
        are_sure: Whether all that hold no fractions are what they are in real arithmetic.
    """

    def __init__(
        self,
        bound: Callable[[torch.Tensor], Bound],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> None:
        self.args, self.kwargs = tuple(args), kwargs
        leaves = tree_leaves((tuple(args), dict(kwargs)))
        self.tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
        self._bounds = {id(each): bound(each) for each in self.tensors}
        self.are_exact = all(each is None for each in self._bounds.values())
        self.are_sure = not any(
            each.is_complex() or (not each.is_floating_point() and self._is_off(each))
            for each in self.tensors
        )

    def _is_off(self, tensor: torch.Tensor) -> bool:
        bound = self._bounds[id(tensor)]
        return bound is not None and bool(bound.any())

    def bound(self, operand: Any) -> Bound:
        """The bound of an operand; a Python number is exact."""
        return self._bounds.get(id(operand)) if isinstance(operand, torch.Tensor) else None

    def bounds(self, operand: Any) -> torch.Tensor:
        """The same, with zeros where it is exact."""
        found = self.bound(operand)
        if found is not None:
            return found
        shape = operand.shape if isinstance(operand, torch.Tensor) else ()
        return torch.zeros(shape, dtype=torch.float64)

    def call(self, func: Any) -> Any:
        """Calls with the arguments as they were given."""
        return func(*self.args, **self.kwargs)

    def moved(self, func: Any, *, says_where: bool = True) -> Bound:
        """What a call that only moves numbers does with their bounds.

        Args:
            func: What to call with bounds in the place of numbers.
            says_where: Whether a tensor without fractions is an index or a mask; else it is moved
                like the others, and exact.
        """
        if self.are_exact:
            return None

        def of(leaf: Any) -> Any:
            is_moved = isinstance(leaf, torch.Tensor) and (
                leaf.is_floating_point() or not says_where
            )
            return self.bounds(leaf) if is_moved else leaf

        args, kwargs = tree_map(of, (self.args, dict(self.kwargs)))
        found: torch.Tensor = func(*args, **kwargs)
        return found


def unit(tensor: torch.Tensor) -> float:
    """The unit roundoff u: half the distance from 1 to the next number."""
    return torch.finfo(tensor.dtype).eps / 2


def size(operand: Any) -> Any:
    """Absolute values, in float64."""
    return operand.abs().double() if isinstance(operand, torch.Tensor) else abs(operand)


def rounding(result: torch.Tensor, steps: float = 1.0) -> torch.Tensor:
    """How far a result is off that is so many units of roundoff off; an infinity is exact."""
    numbers = size(result)
    units = torch.where(numbers.isinf(), 0.0, steps * unit(result) * numbers)
    return units + steps * torch.finfo(result.dtype).tiny


def gamma(terms: float, result: torch.Tensor) -> float:
    """The share of the sum of sizes that rounding a sum of so many terms may be, in any order.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1.

    Raises:
        Unknown: There are too many for a bound.
    """
    share = terms * unit(result)
    if share >= 1:
        raise Unknown
    return share / (1 - share)


def total(*bounds: Bound) -> torch.Tensor:
    """The sum of bounds, of which at least one is none of nothing."""
    first, *others = (each for each in bounds if each is not None)
    for each in others:
        first = first + each
    return first * _SLACK
