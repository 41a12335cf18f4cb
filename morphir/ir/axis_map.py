"""The axis map: where each position of a changed axis comes from, and which share of it it carries.

AXIS-1   the shares of the copies of one old unit sum to 1
AXIS-2   a copy value is read through the map as  new[j] = old[source[j]]
AXIS-3   a split value is read through the map as  sum over {j : source[j] = i} of new[j] = old[i]
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, final

import torch

FRESH: Final = -1
Polarity = Literal["copy", "split"]


@final
@dataclass(frozen=True, slots=True)
class AxisMap:
    """A map from the positions of a new axis to those of an old one.

    Attributes:
        size: Length of the old axis.
        source: For each new position the old one it comes from, or `FRESH`.
        share: For each new position its share; 0 at `FRESH` positions. Exact fractions, so that
            AXIS-1 is decidable.
    """

    size: int
    source: tuple[int, ...]
    share: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        if len(self.source) != len(self.share):
            raise ValueError(f"{len(self.source)} sources but {len(self.share)} shares")
        totals: dict[int, Fraction] = {}
        for source, share in zip(self.source, self.share, strict=True):
            if source == FRESH and share != 0:
                raise ValueError(f"a fresh position has share {share}, expected 0")
            if source != FRESH and not 0 <= source < self.size:
                raise ValueError(f"source {source} is outside an axis of size {self.size}")
            # Adding fractions costs more than everything else here.
            totals[source] = totals[source] + share if source in totals else share
        wrong = {i: str(t) for i, t in totals.items() if i != FRESH and t != 1}
        if wrong:
            raise ValueError(f"AXIS-1: the shares of the copies must sum to 1, found {wrong}")

    @classmethod
    def identity(cls, size: int) -> AxisMap:
        """The map that changes nothing."""
        return cls(size, tuple(range(size)), (Fraction(1),) * size)

    @classmethod
    def copies(cls, size: int, source: Sequence[int]) -> AxisMap:
        """The map with these sources and equal shares."""
        counts = Counter(source)
        shares = {count: Fraction(1, count) for count in {*counts.values()}}
        share = tuple(Fraction(0) if i == FRESH else shares[counts[i]] for i in source)
        return cls(size, tuple(source), share)

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.source == tuple(range(self.size))  # then every share is 1 (AXIS-1)

    @property
    def growth(self) -> float:
        """How many times as much is rounded in a sum over copies, at most.

        That is what the shares of the copies of a unit add up to in size, 1.5 for 5/4 and -1/4,
        times the square root of how many there are, since errors are of either sign (Higham and
        Mary, A New Approach to Probabilistic Rounding Error Analysis, 2019, theorem 2.4).
        """
        sizes: dict[int, Fraction] = {}
        for unit, share in zip(self.source, self.share, strict=True):
            sizes[unit] = sizes.get(unit, Fraction(0)) + abs(share)
        counts = Counter(self.source)
        return max([1.0, *(float(sizes[unit]) * math.sqrt(counts[unit]) for unit in sizes)])

    def apply(self, tensor: torch.Tensor, axis: int, polarity: Polarity) -> torch.Tensor:
        """Maps a tensor along one axis; fresh positions are 0 (AXIS-2, AXIS-3)."""
        index = torch.tensor([max(i, 0) for i in self.source], device=tensor.device)
        mapped = tensor.index_select(axis, index)
        weights = [
            0.0 if i == FRESH else float(s) if polarity == "split" else 1.0
            for i, s in zip(self.source, self.share, strict=True)
        ]
        if all(weight == 1.0 for weight in weights):
            return mapped
        shape = [1] * tensor.dim()
        shape[axis] = len(weights)
        factor = torch.tensor(weights, dtype=torch.float64, device=tensor.device).reshape(shape)
        return (mapped * factor).to(tensor.dtype)
