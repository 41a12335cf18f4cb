"""Which share of a unit each of its copies carries.

    SHARE-1   the shares of the copies of a unit sum to 1; of n unequal ones each is a multiple of
              1 / (4n)^2, and their sizes add up to 16/9 at most
    SHARE-2   at every halving of the copies, each half carries from -1 to 2 of the whole, so that
              numbers can be split exactly (BACK-8)
    SHARE-3   unequal shares are no closer than 5 / n^2 to one another, and no closer than
              1 / (2 n^2) to 0

Copies with equal shares get equal gradients and never become different. Unequal positive shares are
different under SGD, but the first step of Adam is the sign of the gradient: it takes a negative
share to part there. So of a pair one carries about 5/4 and the other about -1/4. The shares of n
copies are evenly spaced, since the closest two part last, and as far apart as SHARE-2 lets them be:

    share = (n + 3j) / n^2        j = n-1, n-3, ..., -(n-1)

None is 0, because the numerators are odd. In every unit they are a little otherwise, for units may
be copies of one another. Only a mean over units, as in LayerNorm, asks for equal shares if the
moments are to be carried over exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

from morphir.ir import FRESH, AxisMap
from morphir.randomness import derive_seed

_STEPS: Final = 16  # so that a share of a pair is exact in bfloat16, which has 8 bits
_JITTER: Final = 8  # half a step of the numerators above: shares stay apart, and away from 0


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
        parts = [Fraction(1, count)] * count if equal else _unequal(count, seed, f"{name}/{unit}")
        for position, part in zip(positions, parts, strict=True):
            share[position] = part
    return AxisMap(size, tuple(source), tuple(share))


def _unequal(count: int, seed: int, name: str) -> list[Fraction]:
    """Evenly spaced shares, each pair that is halved last with the same sum."""
    if count == 1:
        return [Fraction(1)]
    jitter = derive_seed(seed, name, count) % (2 * _JITTER + 1) - _JITTER
    offsets = [3 * _STEPS * j + jitter for j in range(count - 1, 0, -2)]
    spread = [*offsets, *[0] * (count % 2), *(-offset for offset in reversed(offsets))]
    sizes = [*_halved(count)]
    pairs = sizes.count(2)
    outer = zip(spread[:pairs], spread[::-1], strict=False)
    singles = iter(spread[pairs : count - pairs])
    parts = [part for n in sizes for part in (next(outer) if n == 2 else (next(singles),))]
    return [Fraction(_STEPS * count + part, _STEPS * count**2) for part in parts]


def _halved(count: int) -> Iterator[int]:
    """The pairs and single copies that come of halving, in their order."""
    if count <= 2:
        yield count
    else:
        yield from _halved((count + 1) // 2)  # as numbers are split
        yield from _halved(count // 2)
