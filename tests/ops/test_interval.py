"""Intervals hold every result of their elements, rounding included."""

import math
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from morphir.ops.interval import ANYTHING, Interval

NUMBERS = st.floats(-1e300, 1e300, allow_subnormal=True)


@st.composite
def intervals(draw):
    # -0.0 is equal to 0.0, and is drawn from intervals that begin with it, not end.
    low, high = sorted((draw(NUMBERS), draw(NUMBERS)), key=lambda x: (x, math.copysign(1.0, x)))
    return Interval(low, high)


@st.composite
def intervals_with_an_element(draw):
    interval = draw(intervals())
    return interval, draw(st.floats(interval.low, interval.high))


def holds(interval: Interval, number: Fraction) -> bool:
    return (interval.low == -math.inf or Fraction(interval.low) <= number) and (
        interval.high == math.inf or number <= Fraction(interval.high)
    )


@given(intervals_with_an_element(), intervals_with_an_element())
def test_fact_1_sums_differences_and_products_are_exact_enclosures(one, other):
    """FACT-1, in exact arithmetic on the elements."""
    (first, x), (second, y) = one, other
    a, b = Fraction(x), Fraction(y)
    assert holds(first + second, a + b)
    assert holds(first - second, a - b)
    assert holds(first * second, a * b)
    assert holds(-first, -a)
    assert holds(abs(first), abs(a))
    assert holds(first.hull(second), b)


@given(intervals_with_an_element(), intervals_with_an_element())
def test_fact_1_quotients_are_exact_enclosures(one, other):
    """FACT-1."""
    (first, x), (second, y) = one, other
    assume(y != 0)
    assert holds(first / second, Fraction(x) / Fraction(y))
    assert holds(second.reciprocal(), 1 / Fraction(y))


def test_the_sign_is_what_is_kept_of_a_sum_of_many():
    assert Interval(0.5, 2.0).sign == Interval(0.0, math.inf)
    assert Interval(-2.0, -0.5).sign == Interval(-math.inf, 0.0)
    assert Interval(-1.0, 2.0).sign == ANYTHING


def test_zero_is_not_rounded():
    """Else no sum of two non-negatives would be known to be non-negative."""
    assert (Interval(0.0, 1.0) + Interval(0.0, 1.0)).low == 0.0
    assert (Interval(0.0, 1.0) * Interval(0.0, 5.0)).low == 0.0


def test_a_product_that_underflows_keeps_its_sign():
    tiny = Interval(-5e-324, -5e-324) * Interval(0.5, 0.5)
    assert tiny.low < 0.0


def test_the_image_of_a_function_stays_in_its_range():
    range_ = Interval(-1.0, 1.0)
    assert ANYTHING.image(math.tanh, range_) == range_
    assert Interval(0.0, 1.0).image(math.tanh, range_).contains(Interval(0.0, math.tanh(1.0)))
    assert Interval(700.0, 800.0).image(math.exp, Interval(low=0.0)).high == math.inf


def test_a_bound_next_to_zero_moves_outward_to_zero():
    """exp(-740) is positive, but is stored as zero in every dtype but float64."""
    assert Interval(-740.0, 0.0).image(math.exp, Interval(low=0.0)).low == 0.0
    assert Interval(-1e-300, 1e-300).image(math.tanh, ANYTHING).high > 0.0


def test_intervals_print_as_they_are_written():
    assert str(Interval(0.0)) == "[0, inf]"
