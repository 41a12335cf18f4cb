"""Colours of groups: hues that differ most from those of the groups before."""

from __future__ import annotations

from typing import Final

_FIRST: Final = 215.0
_GOLDEN_ANGLE: Final = 137.508


def hue(name: str) -> int:
    """The hue of a group, in degrees: `g1` is blue."""
    return round(_FIRST + _GOLDEN_ANGLE * (int(name[1:]) - 1)) % 360
