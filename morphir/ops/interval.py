"""Intervals with outward rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

INFINITY: Final = math.inf
_TINY: Final = 1e-30
_SLACK: Final = 4  # ulps by which a function of Python's math module may be off


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """All real numbers from `low` to `high`, ends included; every operation rounds outward."""

    low: float = -INFINITY
    high: float = INFINITY

    def contains(self, other: Interval) -> bool:
        """Whether the other interval lies inside this one."""
        return self.low <= other.low and other.high <= self.high

    def hull(self, other: Interval) -> Interval:
        """The smallest interval around both."""
        return Interval(min(self.low, other.low), max(self.high, other.high))

    def meet(self, other: Interval) -> Interval:
        """What lies in both, for two intervals that hold the same number."""
        return Interval(max(self.low, other.low), min(self.high, other.high))

    @property
    def sign(self) -> Interval:
        """The half line that it lies in, if any."""
        return Interval(
            0.0 if self.low >= 0 else -INFINITY,
            0.0 if self.high <= 0 else INFINITY,
        )

    def __add__(self, other: Interval) -> Interval:
        return Interval(_down(self.low + other.low), _up(self.high + other.high))

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Interval) -> Interval:
        return self + -other

    def __mul__(self, other: Interval) -> Interval:
        corners = [_product(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        return Interval(_down(min(corners)), _up(max(corners)))

    def reciprocal(self) -> Interval:
        """The interval of 1/x for the finite x != 0 inside."""
        if self.low >= 0 and self.high > 0:
            high = _up(1 / self.low) if self.low > 0 else INFINITY
            return Interval(0.0 if math.isinf(self.high) else _down(1 / self.high), high)
        if self.high <= 0 and self.low < 0:
            return -(-self).reciprocal()
        return ANYTHING

    def __truediv__(self, other: Interval) -> Interval:
        return self * other.reciprocal()

    def __abs__(self) -> Interval:
        low = max(self.low, -self.high, 0.0)
        return Interval(low, max(abs(self.low), abs(self.high)))

    def map(self, monotone: Callable[[float], float]) -> Interval:
        """The image under a non-decreasing function that Python's floats evaluate exactly."""
        return Interval(monotone(self.low), monotone(self.high))

    def image(self, monotone: Callable[[float], float], within: Interval) -> Interval:
        """The image under a non-decreasing function that Python computes to a few ulps.

        Args:
            monotone: The function.
            within: Its range, which the result does not leave.
        """
        low = _step(_attempt(monotone, self.low, within.low), -INFINITY)
        high = _step(_attempt(monotone, self.high, within.high), INFINITY)
        # A bound next to zero moves to zero, which is where numbers go that underflow.
        low, high = (0.0 if 0 < low < _TINY else low), (0.0 if -_TINY < high < 0 else high)
        return Interval(low, high).meet(within)

    def __str__(self) -> str:
        return f"[{self.low:g}, {self.high:g}]"


ANYTHING: Final = Interval()
NON_NEGATIVE: Final = Interval(low=0.0)
UNIT: Final = Interval(0.0, 1.0)


def _attempt(function: Callable[[float], float], x: float, limit: float) -> float:
    """A function's value, or the limit of its range where Python cannot compute it."""
    try:
        value = function(x)
    except (OverflowError, ValueError):
        return limit
    return limit if math.isnan(value) else value


def _step(x: float, towards: float) -> float:
    for _ in range(_SLACK):
        x = math.nextafter(x, towards)
    return x


def _down(x: float) -> float:
    """The next float below; zero stays zero, and what overflowed upward comes back."""
    return x if x == 0 else math.nextafter(x, -INFINITY)


def _up(x: float) -> float:
    return x if x == 0 else math.nextafter(x, INFINITY)


def _product(a: float, b: float) -> float:
    """a * b where infinity times zero is zero and a product that underflows keeps its sign."""
    if a == 0 or b == 0:
        return 0.0
    return a * b or math.copysign(math.ulp(0.0), a) * math.copysign(1.0, b)
