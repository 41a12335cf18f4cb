"""How far apart two returned objects are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, final

import torch

from morphir.tensors import real_parts, tensors_in

_PLAIN = (bool, int, float, complex, str, type(None))
_DEPTH = 6


@final
class Findings:
    """Collects comparisons of what an old and a new model returned.

    Attributes:
        inputs: How many inputs were compared.
        worst: The largest difference found, relative to what `distance` says.
        where: Where that was.
        is_exact: Whether everything was equal.
        has_varied: Whether any output ever changed with the input.
    """

    def __init__(self) -> None:
        self.inputs = 0
        self.worst = 0.0
        self.where = ""
        self.is_exact = True
        self.has_varied = False
        self._previous: dict[str, torch.Tensor] = {}

    def merge(self, other: Findings) -> None:
        """Takes over what another collection found."""
        self.inputs += other.inputs
        self.is_exact = self.is_exact and other.is_exact
        self.found(other.worst, other.where)
        for key, rows in other._previous.items():
            first = self._previous.setdefault(key, rows)
            if first.shape != rows.shape or not bool(_same(first, rows).all()):
                self.has_varied = True
        self.has_varied = self.has_varied or other.has_varied

    def add(self, label: str, old: Any, new: Any) -> bool:
        """Compares two returned objects; False where no number among the old one's is finite."""
        left, right = numbers_in(old), numbers_in(new)
        if left.keys() != right.keys() or plain_in(old) != plain_in(new):
            self.found(math.inf, f"{label}: the structure of what is returned")
            return True
        if left and not any(bool(t.isfinite().any()) for t in left.values()):
            return False
        self.inputs += next((int(t.shape[0]) for t in left.values() if t.dim()), 1)
        for path, tensor in left.items():
            self.found(distance(tensor, right[path]), f"{label}: output {path!r}")
            self._note_variation(f"{label.partition(' ')[0]}/{path}", tensor)
        return True

    def found(self, difference: float, where: str) -> None:
        """Notes a difference."""
        if difference > 0:
            self.is_exact = False
        if difference > self.worst:
            self.worst, self.where = difference, where

    def _note_variation(self, key: str, tensor: torch.Tensor) -> None:
        """An output varies if it is not the same in all rows of all calls."""
        rows = tensor if tensor.dim() else tensor.reshape(1)
        first = self._previous.setdefault(key, rows[:1])
        same = first.shape[1:] == rows.shape[1:] and bool(_same(first.expand_as(rows), rows).all())
        self.has_varied = self.has_varied or not same


def numbers_in(value: Any) -> dict[str, torch.Tensor]:
    """The tensors in a returned object by path; a Python float is one too."""
    floats = {
        path: torch.tensor(leaf, dtype=torch.float64)
        for path, leaf in _leaves(value)
        if type(leaf) is float
    }
    return {**dict(tensors_in(value)), **floats}


def plain_in(value: Any) -> dict[str, Any]:
    """The plain Python objects in returned tuples, lists and dicts by path, floats aside."""
    return {path: leaf for path, leaf in _leaves(value) if type(leaf) is not float}


def _leaves(value: Any, path: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _PLAIN):
        yield path, value
    elif depth and isinstance(value, tuple | list):
        for index, part in enumerate(value):
            yield from _leaves(part, f"{path}[{index}]", depth - 1)
    elif depth and isinstance(value, dict):
        for key, part in value.items():
            yield from _leaves(part, f"{path}[{key!r}]", depth - 1)


def distance(old: torch.Tensor, new: torch.Tensor) -> float:
    """The largest difference of an element, relative to its size and that of its row.

    Infinite for another shape or dtype, for integers that differ, for a finite number that became
    infinite or NaN, and where the old row is all zero.
    """
    if old.shape != new.shape or old.dtype != new.dtype or old.device != new.device:
        return math.inf
    same = _same(old, new)
    if bool(same.all()):
        return 0.0
    if old.is_complex():
        return distance(real_parts(old), real_parts(new))
    if not old.is_floating_point():
        return math.inf
    wide, other = old.double(), new.double()
    rows = wide.reshape(wide.shape[0], -1) if wide.dim() > 1 else wide.reshape(1, -1)
    squares = torch.where(rows.isfinite(), rows, 0).square()
    scale = squares.mean(1).sqrt().repeat_interleave(rows.shape[1]).reshape(wide.shape)
    relative = (wide - other).abs() / (wide.abs() + scale)
    worst = torch.where(same, 0.0, relative).nan_to_num(nan=math.inf, posinf=math.inf)
    return float(worst.max())


def _same(old: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
    equal = old == new
    if old.is_floating_point() or old.is_complex():
        equal = equal | (old.isnan() & new.isnan())
    return equal


def rms(tensor: torch.Tensor) -> float:
    """Root mean square of the finite elements."""
    wide = tensor.double()
    finite = wide[wide.isfinite()]
    return float(finite.square().mean().sqrt()) if finite.numel() else 0.0
