"""Which sizes can be asked for."""

from __future__ import annotations

from typing import Final

# A map keeps two numbers for each unit, and is no array: more of them take gigabytes, whatever the
# model is. Who types more has slipped.
_MOST: Final = 2**24
SIZES: Final = f"a positive integer of at most {_MOST:,}"


def is_size(value: object) -> bool:
    """Whether this can be the size of an axis."""
    return type(value) is int and 0 < value <= _MOST
