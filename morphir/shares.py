"""Which share of a unit each of its copies carries.

    SHARE-1   the shares of the copies of a unit sum to 1, and unequal ones are binary fractions
    SHARE-2   at every halving of the copies, each half carries from -1 to 2 of the whole, so that
              numbers can be split exactly (BACK-8)
    SHARE-3   no two copies of a unit have the same share if they are to be unequal, and of each two
              that are halved last one has a negative share

Copies with equal shares get equal gradients and never become different. Unequal positive shares are
different under SGD, but the first step of Adam is the sign of the gradient: it takes a negative
share to part there. So of a pair one carries about 5/4 and the other about -1/4, each pair a little
otherwise. Only a mean over units, as in LayerNorm, asks for equal shares if the moments are to be
carried over exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction
from typing import Final

from morphir.ir import FRESH, AxisMap
from morphir.randomness import derive_seed

_STEPS: Final = 64  # so that a share of a pair is exact in bfloat16, which has 8 bits
_JITTER: Final = 8


def widened(size: int, width: int, *, seed: int, name: str = "", equal: bool = False) -> AxisMap:
    """The map that appends copies of units, each copied equally often if that comes out even.

    Args:
        size: How many units there are.
        width: How many there will be.
        seed: Seed of the choice of the units that are copied once more, and of their shares.
        name: What is widened: other names, other draws.
        equal: Whether the copies of a unit get equal shares.
    """
    if not 0 < size <= width:
        raise ValueError(f"an axis of {size} can't be widened to {width}")
    often, rest = divmod(width, size)
    chosen = sorted(range(size), key=lambda unit: derive_seed(seed, f"{name}/copied", unit))[:rest]
    return shared(size, [*range(size)] * often + sorted(chosen), seed=seed, name=name, equal=equal)


def shared(
    size: int, source: Sequence[int], *, seed: int, name: str = "", equal: bool = False
) -> AxisMap:
    """The map with these sources.

    Args:
        size: How many units there are.
        source: For each new position the unit it is a copy of, or `FRESH`.
        seed: Seed of the shares.
        name: What is changed: other names, other draws.
        equal: Whether the copies of a unit get equal shares.
    """
    copies: dict[int, list[int]] = {}
    for position, unit in enumerate(source):
        copies.setdefault(unit, []).append(position)
    share = [Fraction(0)] * len(source)
    for unit, positions in copies.items():
        if unit == FRESH:
            continue
        count = len(positions)
        parts = [Fraction(1, count)] * count if equal else _distinct(count, seed, f"{name}/{unit}")
        for position, part in zip(positions, parts, strict=True):
            share[position] = part
    return AxisMap(size, tuple(source), tuple(share))


def _distinct(count: int, seed: int, name: str) -> list[Fraction]:
    """Shares of which no two are the same: such copies would stay the same under any optimizer."""
    for attempt in itertools.count():
        found = _unequal(count, seed, f"{name}/{attempt}")
        if len({*found}) == count:
            return found
    raise AssertionError


def _unequal(count: int, seed: int, name: str) -> list[Fraction]:
    """Shares that sum to 1: the first half of the copies carries about its number, a pair 5/4."""
    if count == 1:
        return [Fraction(1)]
    half = (count + 1) // 2  # as numbers are split
    most = _JITTER if count == 2 else _JITTER // 4
    jitter = derive_seed(seed, name, count) % (2 * most + 1) - most
    steps = 5 * _STEPS // 4 if count == 2 else round(_STEPS * half / count)
    first = Fraction(steps + jitter, _STEPS)
    parts = zip((first, 1 - first), (half, count - half), "ab", strict=True)
    return [part * s for part, n, side in parts for s in _unequal(n, seed, name + side)]
