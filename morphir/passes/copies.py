"""Which units of an axis are copies of one another, and the widening that would have made them.

Units are copies if all stored numbers are the same that they are computed with: then they are the
same number, whatever the input. What reads them may differ.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from morphir.ir import AxisMap
from morphir.passes.units import Known, Term, Units
from morphir.tensors import real_parts, words

Matrix = npt.NDArray[np.float64]


def copies_in(units: Units, known: Known) -> list[int]:
    """For each unit the first one that it is a copy of: itself, if there is none before it.

    As many units as have to stay are left apart, the last copies first.
    """
    read = [_rows(term, known, units.leaf.size) for term in units.stored if not term.is_split]
    first: dict[tuple[bytes, ...], int] = {}
    found = []
    for unit in range(units.leaf.size):
        content = tuple(words(rows[unit]).numpy().tobytes() for rows in read)
        found.append(first.setdefault(content, unit) if content else unit)
    copies = [unit for unit, of in enumerate(found) if of != unit]
    missing = units.fewest - (len(found) - len(copies))
    for unit in copies[len(copies) - missing :] if missing > 0 else ():
        found[unit] = unit
    return found


def widening_to(units: Units, known: Known, first: list[int]) -> tuple[AxisMap, list[int]]:
    """The map by which the units come from the first copies, with the shares that they are read in.

    Args:
        units: The units.
        known: The stored numbers.
        first: For each unit the one that it is a copy of.

    Returns:
        The map; and the first copies of units the signs of whose shares are a guess. Parts of one
        number have its sign or the other one, each copy's always the same, until the copies are
        trained apart, and unless a share is less than a rounding of the dtype.
    """
    copies: dict[int, list[int]] = {}
    for unit, of in enumerate(first):
        copies.setdefault(of, []).append(unit)
    number = {unit: index for index, unit in enumerate(copies)}
    read = [_rows(term, known, units.leaf.size) for term in units.stored if term.is_split]
    share, guessed = [Fraction(1)] * len(first), []
    for unit, positions in copies.items():
        if len(positions) > 1:
            parts = _numbers([rows[positions] for rows in read], len(positions))
            found = _shares(parts)
            for position, part in zip(positions, found, strict=True):
                share[position] = part
            if not _are_confirmed(found, parts):
                guessed.append(unit)
    return AxisMap(len(copies), tuple(number[of] for of in first), tuple(share)), guessed


def _rows(term: Term, known: Known, count: int) -> torch.Tensor:
    """The numbers of each unit."""
    assert isinstance(term.tensor, str)
    places = [np.flatnonzero(term.units == unit) for unit in range(count)]
    index = torch.from_numpy(np.concatenate(places))
    tensor = known.state[term.tensor].detach().cpu()
    along = tensor.index_select(term.axis, index).movedim(term.axis, 0)
    return along.reshape(count, -1)


def _numbers(read: list[torch.Tensor], count: int) -> Matrix:
    """What is read of each of some copies."""
    numbers = [real_parts(rows).flatten(1).double().numpy() for rows in read]
    return np.concatenate([np.zeros((count, 0)), *numbers], 1)


def _shares(parts: Matrix) -> list[Fraction]:
    """Which share of the sum each copy has: its sign, and its size to a power of two.

    Only the signs are needed, however small a share is (STATE-18). Where one power of two ends and
    the next begins there is an irrational number, and no share: models that were changed alike get
    the same ones, whatever was rounded.
    """
    equal = [Fraction(1, len(parts))] * len(parts)
    largest = np.abs(parts).max(initial=0)
    if not (np.isfinite(largest) and largest > 0):
        return equal
    scaled = parts / largest
    total = scaled.sum(0)
    size = float(total @ total)
    if not size > 0:
        return equal
    read = scaled @ total / size
    with np.errstate(divide="ignore"):  # of 0 it is 0
        rounded = [Fraction(float(each)) for each in np.exp2(np.round(np.log2(np.abs(read))))]
    pairs = [*zip(rounded, read, strict=True)]
    below = sum((each for each, share in pairs if share < 0), Fraction(0))
    above = sum((each for each, share in pairs if share > 0), Fraction(0))
    whole = (1 + below) / above  # so that they sum to 1
    return [each * whole if share > 0 else -each for each, share in pairs]


def _are_confirmed(share: list[Fraction], parts: Matrix) -> bool:
    """Whether every number says that the signs of the shares are these, and one of each copy."""
    signs = np.sign(np.array([float(each) for each in share]))
    expected = signs[:, None] * np.sign(parts.sum(0))
    is_as_expected = ((parts == 0) | (np.sign(parts) == expected)).all()
    return bool(is_as_expected and parts.any(1).all())
