"""Which units of an axis are copies of one another, and the widening that would have made them.

Units are copies if all stored numbers are the same that they are computed with: then they are the
same number, whatever the input. What reads them may differ.
"""

from __future__ import annotations

from collections.abc import Collection
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from morphir.ir import FRESH, AxisMap
from morphir.passes.units import Known, Term, Units
from morphir.tensors import real_parts

_STEPS: Final = 64  # shares are only good for their signs, which tell how moments add up

Matrix = npt.NDArray[np.float64]


def copies_in(units: Units, known: Known, apart: Collection[int] = ()) -> list[int]:
    """For each unit the first one that it is a copy of: itself, if there is none before it.

    Args:
        units: The units.
        known: The stored numbers.
        apart: Units that are taken for copies of none.
    """
    read = [_rows(term, known, units.leaf.size) for term in units.stored if not term.is_split]
    first: dict[tuple[bytes, ...], int] = {}
    found = []
    for unit in range(units.leaf.size):
        content = tuple(
            rows[unit].contiguous().view(torch.uint8).numpy().tobytes() for rows in read
        )
        is_known = unit not in apart and bool(content)
        found.append(first.setdefault(content, unit) if is_known else unit)
    return found


def widening_to(
    units: Units, known: Known, first: list[int], fresh: Collection[int] = ()
) -> AxisMap:
    """The map by which the units come from those that stay: the first copies.

    Args:
        units: The units.
        known: The stored numbers.
        first: For each unit the one that it is a copy of.
        fresh: Units that go without a trace.
    """
    stay = [unit for unit, of in enumerate(first) if of == unit and unit not in fresh]
    number = {unit: index for index, unit in enumerate(stay)}
    source = [FRESH if unit in fresh else number[of] for unit, of in enumerate(first)]
    split = [_rows(term, known, len(first)) for term in units.stored if term.is_split]
    read = np.concatenate([_numbers(rows) for rows in split], 1) if split else None
    share = [Fraction(0)] * len(source)
    for unit in range(len(stay)):
        positions = [position for position, of in enumerate(source) if of == unit]
        for position, part in zip(positions, _shares(positions, read), strict=True):
            share[position] = part
    return AxisMap(len(stay), tuple(source), tuple(share))


def _rows(term: Term, known: Known, count: int) -> torch.Tensor:
    """The numbers of each unit."""
    assert isinstance(term.tensor, str)
    places = [np.flatnonzero(term.units == unit) for unit in range(count)]
    index = torch.from_numpy(np.concatenate(places))
    tensor = known.state[term.tensor].detach().cpu()
    along = tensor.index_select(term.axis, index).movedim(term.axis, 0)
    return along.reshape(count, -1)


def _numbers(rows: torch.Tensor) -> Matrix:
    return np.asarray(real_parts(rows).flatten(1).double().numpy())


def _shares(positions: list[int], read: Matrix | None) -> list[Fraction]:
    """Which share of the sum each copy has, to the next 64th."""
    equal = [Fraction(1, len(positions))] * len(positions)
    if len(positions) == 1 or read is None:
        return equal
    total = read[positions].sum(0)
    size = float(total @ total)
    if not (np.isfinite(size) and size > 0):
        return equal
    rest = [round(float(read[p] @ total) / size * _STEPS) for p in positions[1:]]
    return [1 - Fraction(sum(rest), _STEPS), *(Fraction(each, _STEPS) for each in rest)]
