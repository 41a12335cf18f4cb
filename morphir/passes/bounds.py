"""Bounds of inputs, as a user gives them: `(low, high)` for all, or by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import torch

from morphir.errors import RefusalError

Bounds = tuple[float, float]


def is_box(box: Any) -> bool:
    """Whether this is a pair of numbers in order, or such pairs by the names of inputs."""
    pairs = box.values() if isinstance(box, Mapping) else [box]
    return all(_is_pair(pair) for pair in pairs)


def bounds_of(box: Bounds | Mapping[str, Bounds], names: Sequence[str]) -> dict[str, Bounds]:
    """The bounds of each input that has some.

    Args:
        box: What `is_box` accepts.
        names: The names of all inputs.

    Raises:
        RefusalError: It names an input that there is not.
    """
    given = box if isinstance(box, Mapping) else dict.fromkeys(names, box)
    for name in given:
        if name not in names:
            raise RefusalError(
                f"box= names {name!r}, and the inputs are {sorted({*names})}",
                suggestions=["box=(-1.0, 1.0)"],
            )
    return {name: (float(low), float(high)) for name, (low, high) in given.items()}


def _is_pair(pair: Any) -> bool:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        return False
    if not all(isinstance(end, Real) or _is_number(end) for end in pair):
        return False
    low, high = map(float, pair)
    return low <= high


def _is_number(end: Any) -> bool:
    return isinstance(end, torch.Tensor) and end.numel() == 1 and not end.is_complex()
