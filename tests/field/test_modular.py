"""FIELD-1: arithmetic modulo a prime, against Python's exact numbers."""

from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from morphir.field.modular import MOST_TERMS, SHORT, PrimeField, Unsupported, _is_prime

FIELD = PrimeField.drawn(0)
P = FIELD.prime
DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def residue(number: float) -> int:
    exact = Fraction(number)
    return exact.numerator * pow(exact.denominator, -1, P) % P


def some(*shape: int) -> torch.Tensor:
    """Residues, the largest ones among them."""
    drawn = torch.randint(0, P, shape)
    drawn.view(-1)[:3] = torch.tensor([P - 1, 0, P - 1])
    return drawn


@pytest.mark.parametrize("seed", range(12))
def test_primes_are_prime_have_31_bits_and_leave_7_modulo_8(seed: int):
    prime = PrimeField.drawn(seed).prime
    assert prime.bit_length() == 31
    assert prime % 8 == 7
    assert all(prime % divisor for divisor in range(2, 46341))


def test_what_is_prime_has_no_divisors():
    """Numbers that are 3 modulo 4, those among them that are prime to a simpler test."""
    pseudoprimes = [703, 2047, 8911, 23959, 29891, 916327, 954271, 1024651, 3215031751]
    for number in [*range(63, 20001, 4), *pseudoprimes]:
        divisors = range(2, int(number**0.5) + 1)
        assert _is_prime(number) == all(number % divisor for divisor in divisors)


def test_other_seeds_draw_other_primes_and_the_same_seed_the_same():
    assert len({PrimeField.drawn(seed).prime for seed in range(50)}) == 50
    assert PrimeField.drawn(3) == PrimeField.drawn(3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_field_1_every_stored_float_is_lifted_with_no_rounding(dtype: torch.dtype):
    info = torch.finfo(dtype)
    least = info.smallest_normal * info.eps  # the smallest subnormal one
    ends = [0.0, -0.0, 1.0, -1.0, 1 / 3, info.max, -info.max, info.tiny, info.eps]
    special = torch.tensor([*ends, least, -least, 3 * least, info.tiny - least], dtype=dtype)
    spread = torch.randn(300, dtype=torch.float64) * 2.0 ** torch.randint(-140, 120, (300,))
    numbers = torch.cat([special, spread.clamp(-info.max, info.max).to(dtype)])
    assert (numbers.double()[9:13] != 0).all(), "subnormal numbers are among them"
    expected = [residue(number) for number in numbers.double().tolist()]
    assert FIELD.lift(numbers).tolist() == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_field_1_any_float64_is_lifted_as_the_fraction_that_it_is(number: float):
    lifted = FIELD.lift(torch.tensor(number, dtype=torch.float64))
    assert int(lifted) == FIELD.number(number) == residue(number)


def test_field_1_shapes_views_and_long_tensors_are_lifted_element_by_element():
    tensor = torch.randn(3, 4, 5).transpose(0, 2)[::2]
    assert torch.equal(FIELD.lift(tensor), FIELD.lift(tensor.clone()))
    assert FIELD.lift(torch.empty(0, 3)).shape == (0, 3)
    assert FIELD.lift(torch.tensor(2.0)).shape == ()
    long = torch.arange(300_000.0)
    assert torch.equal(FIELD.lift(long), torch.arange(300_000))


def test_field_1_whole_numbers_and_truth_values_are_lifted():
    numbers = [-1, 5, P, 2**40, 2**62 + 1, -(2**63)]
    assert FIELD.lift(torch.tensor(numbers)).tolist() == [number % P for number in numbers]
    assert FIELD.lift(torch.tensor([True, False])).tolist() == [1, 0]


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 1j])
def test_what_is_no_number_is_refused(number: complex):
    with pytest.raises(Unsupported, match=r"not a number|complex"):
        FIELD.lift(torch.tensor([1.0, number]))


dyadic = st.builds(lambda m, e: m * 2.0**e, st.integers(-(2**20), 2**20), st.integers(-20, 20))


@given(st.lists(st.tuples(dyadic, dyadic), min_size=1, max_size=20))
def test_field_1_sums_and_products_of_lifted_numbers_are_lifted_sums_and_products(pairs):
    left, right = torch.tensor(pairs, dtype=torch.float64).unbind(1)
    exact_sums = [residue(Fraction(a) + Fraction(b)) for a, b in pairs]
    exact_products = [residue(Fraction(a) * Fraction(b)) for a, b in pairs]
    assert ((FIELD.lift(left) + FIELD.lift(right)) % P).tolist() == exact_sums
    assert (FIELD.lift(left) * FIELD.lift(right) % P).tolist() == exact_products


def product(left: torch.Tensor, right: torch.Tensor) -> list[list[int]]:
    rows, columns = left.tolist(), right.t().tolist()
    return [
        [sum(a * b for a, b in zip(row, column, strict=True)) % P for column in columns]
        for row in rows
    ]


def test_field_1_products_of_matrices_are_those_of_python_integers():
    left, right = some(7, 300), some(300, 5)
    assert FIELD.bilinear(torch.mm, left, right, 300).tolist() == product(left, right)
    both = some(3, 2, 50), some(3, 50, 4)
    found = FIELD.bilinear(torch.bmm, *both, 50)
    assert found.tolist() == [product(a, b) for a, b in zip(*both, strict=True)]


def test_field_1_the_longest_sum_of_the_largest_products_is_exact():
    terms = MOST_TERMS
    largest = torch.full((1, terms), P - 1)
    assert FIELD.bilinear(torch.mm, largest, largest.t(), terms).item() == terms % P


@pytest.mark.parametrize("terms", [SHORT, SHORT + 1, MOST_TERMS])
def test_field_1_long_sums_of_any_products_are_exact(terms: int):
    left, right = some(1, terms), some(terms, 1)
    assert FIELD.bilinear(torch.mm, left, right, terms).tolist() == product(left, right)


def test_longer_sums_are_refused():
    with pytest.raises(Unsupported, match="products are too long"):
        FIELD.bilinear(torch.mm, some(1, 4), some(4, 1), MOST_TERMS + 1)


@pytest.mark.parametrize("transposed", [False, True])
def test_field_1_convolutions_are_sums_of_products_of_python_integers(transposed: bool):
    image, kernel = some(2, 3, 6), some(3, 4, 3) if transposed else some(4, 3, 3)
    function: Callable[..., torch.Tensor] = F.conv_transpose1d if transposed else F.conv1d
    found = FIELD.bilinear(function, image, kernel, 9)
    x, w = image.tolist(), kernel.tolist()
    length = 8 if transposed else 4

    def at(row: int, channel: int, place: int) -> int:
        total = 0
        for source in range(3):
            for shift in range(3):
                origin = place - shift if transposed else place + shift
                if 0 <= origin < 6:
                    factor = w[source][channel] if transposed else w[channel][source]
                    total += x[row][source][origin] * factor[shift]
        return total % P

    expected = [[[at(b, c, t) for t in range(length)] for c in range(4)] for b in range(2)]
    assert found.tolist() == expected


@given(st.integers(0, P - 1), st.integers(0, 2**40))
def test_powers_and_inverses_are_those_of_python(base: int, exponent: int):
    tensor = torch.tensor([base])
    assert FIELD.power(tensor, exponent).item() == pow(base, exponent, P)
    inverse = FIELD.inverse(tensor).item()
    assert base * inverse % P == (1 if base else 0)


def test_squares_are_squares_half_of_all_and_the_negative_of_no_other():
    roots = some(2000)
    assert FIELD.is_square(roots * roots % P).equal(roots != 0)
    share = FIELD.is_square(roots).double().mean().item()
    assert 0.45 < share < 0.55
    assert FIELD.is_square(roots).logical_xor(FIELD.is_square(-roots % P)).equal(roots != 0)
    assert FIELD.is_square(2 * roots % P).equal(FIELD.is_square(roots))
