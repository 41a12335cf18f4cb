"""Keyed pseudo-random functions: what stands for the functions that have no meaning mod a prime.

FIELD-2  a function such as tanh is replaced by a random function with the same value at 0 where
         that is a rational number; equal arguments give equal results, and nothing else of the
         function is kept, but that exp is 0 where a mask has minus infinity
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final, final

import torch

_SIGN: Final = 2**63
# The multipliers and shifts of SplitMix64 (Steele, Lea and Flood 2014), as signed 64-bit integers.
_STEP: Final = 0x9E3779B97F4A7C15 - 2 * _SIGN
_MIXERS: Final = ((30, 0xBF58476D1CE4E5B9 - 2 * _SIGN), (27, 0x94D049BB133111EB - 2 * _SIGN))
_LAST_SHIFT: Final = 31


@final
@dataclass(frozen=True)
class Keyed:
    """A family of functions, one for each name.

    Attributes:
        key: Other keys, other functions.
        prime: Their values are residues modulo this.
    """

    key: str
    prime: int

    def value(self, name: str, *arguments: torch.Tensor) -> torch.Tensor:
        """The function with a name, element by element."""
        begin = hashlib.sha256(f"{self.key} {name}".encode()).digest()[:8]
        state = torch.tensor(int.from_bytes(begin, "little", signed=True))
        for argument in arguments:
            state = _mixed(state + argument * _STEP)
        return _shifted(state, 1).remainder(self.prime)


def _mixed(state: torch.Tensor) -> torch.Tensor:
    for shift, multiplier in _MIXERS:
        state = (state ^ _shifted(state, shift)) * multiplier
    return state ^ _shifted(state, _LAST_SHIFT)


def _shifted(state: torch.Tensor, count: int) -> torch.Tensor:
    """A shift to the right of 64-bit integers without a sign."""
    return (state >> count).bitwise_and(2 ** (64 - count) - 1)
