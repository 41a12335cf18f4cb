"""Exact arithmetic modulo a prime.

    FIELD-1  a stored float m * 2^e is the residue m * 2^e mod p, with no rounding; a sum or product
             of residues is the residue of the sum or product of the numbers

Residues are int64 tensors with elements from 0 to p - 1. The primes have 31 bits, so a product of
two residues fits, and leave the remainder 7 when divided by 8: then -1 is no square and 2 is one,
which `gates` builds on.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import count
from typing import Final, final

import torch

Bilinear = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# Limbs of 16 bits: each product of sums of two is below 2^34, and float64 holds 2^19 of them.
MOST_TERMS: Final = 2**19
# A limb of 11 bits times a residue is below 2^42, of which float64 holds sums of 2^11.
SHORT: Final = 2**11
_MANTISSA: Final = {torch.float32: 24, torch.float64: 53}  # bits; other floats fit into float32
_LEAST: Final = -1073 - 53  # exponent of a float whose mantissa is a whole number
_CHUNK: Final = 2**15  # elements that are lifted at once, so that they stay in the cache
_WITNESSES: Final = (2, 7, 61)  # enough for all numbers below 4,759,123,141 (Jaeschke 1993)


@final
class Unsupported(Exception):  # noqa: N818
    """There is something that has no meaning modulo a prime; the message says what."""


@final
@dataclass(frozen=True)
class PrimeField:
    """The residues modulo a prime.

    Attributes:
        prime: The prime.
    """

    prime: int

    @classmethod
    def drawn(cls, seed: int) -> PrimeField:
        """The field of a random 31-bit prime that is 7 modulo 8."""
        draw = random.Random(seed)
        candidates = (draw.randrange(2**30 + 7, 2**31, 8) for _ in count())
        return cls(next(filter(_is_prime, candidates)))

    def lift(self, tensor: torch.Tensor) -> torch.Tensor:
        """The residues of a tensor's numbers.

        Raises:
            Unsupported: One is not finite, or complex.
        """
        if tensor.is_complex():
            raise Unsupported("complex numbers are not lifted")
        if not tensor.is_floating_point():
            return tensor.long() % self.prime
        flat = tensor.detach().contiguous().reshape(-1)
        lifted = torch.empty_like(flat, dtype=torch.int64)
        chunks = (torch.split(each, _CHUNK) for each in (flat, lifted))
        for part, place in zip(*chunks, strict=True):
            self._lift_chunk(part if part.dtype in _MANTISSA else part.float(), place)
        return lifted.reshape(tensor.shape)

    def _lift_chunk(self, numbers: torch.Tensor, place: torch.Tensor) -> None:
        bits = _MANTISSA[numbers.dtype]
        fraction, exponent = torch.frexp(numbers)
        if not fraction.sum().isfinite():
            raise Unsupported("a number is infinite or not a number")
        mantissa = fraction.mul_(2.0**bits).long()
        if bits > 32:  # else the product below is less than 2^63 without
            mantissa %= self.prime
        powers = _powers_of_two(self.prime).to(numbers.device)
        factors = powers.index_select(0, exponent - (bits + _LEAST))
        torch.remainder(mantissa.mul_(factors), self.prime, out=place)

    def number(self, number: float) -> int:
        """The residue of a Python number."""
        exact = Fraction(number)
        return exact.numerator * pow(exact.denominator, -1, self.prime) % self.prime

    def bilinear(
        self, function: Bilinear, left: torch.Tensor, right: torch.Tensor, terms: int
    ) -> torch.Tensor:
        """A function that is linear in both of its arguments, such as a product of matrices.

        Args:
            function: The function, on float64 tensors.
            left: Residues.
            right: Residues.
            terms: How many products it adds at most.

        Raises:
            Unsupported: There are too many of them.
        """
        if terms > MOST_TERMS:
            raise Unsupported(f"sums of {terms} products are too long, {MOST_TERMS} are not")
        if terms <= SHORT:
            whole, found = right.double(), right.new_zeros(())
            for bits in (22, 11, 0):  # of the left one only, which in a layer is the smaller one
                limb = ((left >> bits) & (2**11 - 1)).double()
                found = (found * 2**11 + function(limb, whole).long()) % self.prime
            return found
        (high, low), (top, bottom) = (_limbs(each) for each in (left, right))
        both = function(high + low, top + bottom)
        outer, inner = function(high, top), function(low, bottom)
        middle = both - outer - inner  # Karatsuba: three products instead of four
        outer, middle, inner = (each.long() % self.prime for each in (outer, middle, inner))
        shift = pow(2, 32, self.prime)
        return ((outer * shift + inner) % self.prime + middle * 2**16) % self.prime

    def power(self, base: torch.Tensor, exponent: int) -> torch.Tensor:
        """A power with an exponent of 0 or more."""
        result = torch.ones_like(base)
        for digit in f"{exponent:b}":
            result = result * result % self.prime
            if digit == "1":
                result = result * base % self.prime
        return result

    def inverse(self, residues: torch.Tensor) -> torch.Tensor:
        """What times each residue is 1; of 0 it is 0."""
        return self.power(residues, self.prime - 2)

    def is_square(self, residues: torch.Tensor) -> torch.Tensor:
        """Whether each residue is the square of one other than 0 (Euler's criterion)."""
        return self.power(residues, (self.prime - 1) // 2) == 1


def _limbs(residues: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return (residues >> 16).double(), (residues & 0xFFFF).double()


@cache
def _powers_of_two(prime: int) -> torch.Tensor:
    """The residues of powers of two, from the least exponent on."""
    return torch.tensor([pow(2, exponent, prime) for exponent in range(_LEAST, 1025)])


def _is_prime(number: int) -> bool:
    """Whether a number of at most 32 bits that is 3 modulo 4 is prime (Miller and Rabin)."""
    return all(pow(base, number // 2, number) in (1, number - 1) for base in _WITNESSES)
