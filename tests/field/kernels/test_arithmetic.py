"""FIELD-1: sums, products and quotients of lifted numbers are those of the numbers."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir.field.kernels import arithmetic
from tests.field.lifted import FIELD, Case, assert_lifts, bare, call, cases, lift, new_run, whole

aten = torch.ops.aten
X, Y = whole(3, 4), whole(3, 4)
POWERS = 2.0 ** torch.randint(-3, 4, (3, 4))  # what is divided by them is exact in float64

CASES: list[Case] = [
    ("add", lambda x, y: x + y, (X, Y)),
    ("add", lambda x, y: torch.add(x, y, alpha=-3), (X, Y[0])),
    ("add", lambda x, n: x + n, (X, torch.randint(-5, 5, (3, 1)))),
    ("add", lambda x: 2.5 + x, (X,)),
    ("sub", lambda x, y: x - y, (X, Y)),
    ("sub", lambda x, y: torch.sub(x, y, alpha=2), (X, Y)),
    ("rsub", lambda x: 3 - x, (X,)),
    ("rsub", lambda x, y: aten.rsub(x, y, alpha=2), (X, Y)),
    ("mul", lambda x, y: x * y * -0.5, (X, Y)),
    ("mul", lambda x, mask: x * mask, (X, torch.tensor([True, False, True, True]))),
    ("div", lambda x, y: x / y / -4, (X, POWERS)),
    ("reciprocal", lambda y: 6 / y, (POWERS,)),
    ("neg", lambda x: -x, (X,)),
    ("reciprocal", torch.reciprocal, (POWERS,)),
    ("square", torch.square, (X,)),
    ("sum", torch.sum, (X,)),
    ("sum", lambda x: x.sum((0, -1)), (whole(2, 3, 4),)),
    ("sum", lambda x: x.sum(1, keepdim=True), (X,)),
    ("sum", lambda x: x[:0].sum(0), (X,)),
    ("mean", lambda x: x.mean(), (whole(4, 4),)),
    ("mean", lambda x: x.mean(-1, keepdim=True), (X,)),
    ("mean", lambda x: x.mean((0, 1)), (whole(2, 4, 3),)),
    ("cumsum", lambda x: x.cumsum(1), (X,)),
    ("cumprod", lambda x: x.cumprod(1), (X,)),
    ("cumprod", lambda x: x.cumprod(0), (X,)),
    ("prod", lambda x: x.prod(), (X,)),
    ("prod", lambda x: x.prod(-1), (X,)),
    ("prod", lambda x: x.prod(0, keepdim=True), (X,)),
    ("pow", lambda x: x**3, (X,)),
    ("pow", lambda x: x**0, (X,)),
    ("pow", lambda x: x**1.0, (X,)),
    ("pow", lambda y: y**-2, (POWERS,)),
    ("eq", lambda x, y: x == y, (X, X.flip(1))),
    ("eq", lambda x: x == 3, (X,)),
    ("ne", lambda x, y: x != y, (X, X.flip(1))),
    ("ne", lambda x: x != -3.0, (X,)),
    ("isnan", torch.isnan, (X,)),
    ("isinf", torch.isinf, (X,)),
    ("isfinite", torch.isfinite, (X,)),
    ("sub", lambda x, y: torch.lerp(x, y, 0.25), (X, Y)),
    ("mul", lambda x, y: torch.addcmul(x, x, y, value=3), (X, Y)),
    ("mul", lambda x: torch.einsum("bi,bj->bij", x, x), (X,)),
    ("mul", lambda x: x.mul_(2).add_(1).sub_(x).neg_(), (X,)),
    ("div", lambda x: x.div_(2), (X,)),
]


@cases(*CASES)
def test_field_1_what_is_computed_of_lifted_numbers_is_the_lifted_result(case: Case):
    assert_lifts(case)


fraction = st.fractions(-50, 50, max_denominator=50)


@given(st.lists(st.tuples(fraction, fraction), min_size=1, max_size=6))
def test_field_1_quotients_that_no_float_holds_are_exact(pairs: list[tuple[Fraction, Fraction]]):
    numbers = torch.tensor(
        [[a.numerator, a.denominator, b.numerator, b.denominator] for a, b in pairs]
    ).double()

    def mixed(table: torch.Tensor) -> torch.Tensor:
        one, other = table[:, 0] / table[:, 1], table[:, 2] / table[:, 3]
        return one * other - one / (other * other + 1) + (one + other).mean()

    mean = sum(a + b for a, b in pairs) / len(pairs)
    expected = [a * b - a / (b * b + 1) + mean for a, b in pairs]
    assert call(mixed, numbers).tolist() == [residue(each) for each in expected]


def residue(number: Fraction) -> int:
    return number.numerator * pow(number.denominator, -1, FIELD.prime) % FIELD.prime


def test_field_1_a_float_that_was_rounded_is_the_number_that_is_stored():
    found = call(lambda x: x * 0.1, torch.ones(1))
    assert found.item() == residue(Fraction(0.1)) != residue(Fraction(1, 10))


def test_field_1_a_mean_and_a_variance_of_three_are_divided_by_three():
    mean = call(lambda x: x.mean(), torch.tensor([1.0, 2.0, 4.0]))
    assert mean.item() == residue(Fraction(7, 3))
    variance = call(lambda x: x.var(), torch.tensor([1.0, 2.0, 4.0]))
    assert variance.item() == residue(Fraction(7, 3))


@pytest.mark.parametrize("axes", [0, (0, 2), (0, 1, 2), -1])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("correction", [0, 1])
def test_field_1_a_variance_is_the_mean_square_distance_to_the_mean(
    axes: int | tuple[int, ...], keepdim: bool, correction: int
):
    def spelled_out(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        centred = x - x.mean(axes, keepdim=True)
        total = (centred * centred).sum(axes, keepdim=keepdim)
        count = x.numel() // total.numel()
        return total / (count - correction), x.mean(axes, keepdim=keepdim)

    settings = {"dim": axes, "keepdim": keepdim, "correction": correction}
    box = whole(2, 3, 4)
    expected = call(spelled_out, box)
    found = call(lambda x: torch.var_mean(x, **settings), box)
    assert all(map(torch.equal, found, expected))
    for inference in (False, True):
        found = call(lambda x: x.var(**settings), box, inference=inference)
        assert torch.equal(found, expected[0])
        found = call(lambda x: x.var(axes, correction > 0, keepdim), box, inference=inference)
        assert torch.equal(found, expected[0])


@pytest.mark.parametrize("inference", [False, True])
def test_field_1_a_variance_of_all_numbers(inference: bool):
    numbers = torch.tensor([1.0, 2.0, 4.0])
    for unbiased, exact in ((True, Fraction(7, 3)), (False, Fraction(14, 9))):
        found = call(lambda x, how=unbiased: x.var(how), numbers, inference=inference)
        assert found.item() == residue(exact)


def test_what_is_divided_by_0_is_0():
    assert call(lambda x: x / (x - x), X).eq(0).all()


def test_halves_of_whole_exponents_are_powers_of_the_square_root():
    def holds(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([x**1.5 - x * x**0.5, x**-0.5 * x**0.5 * x - x, x**0.5 - x.sqrt()])

    assert call(holds, X.abs() + 1).eq(0).all()
    assert call(lambda x: x**1.5, X.abs() + 1).ne(0).all()


def test_field_2_other_exponents_are_keyed_functions():
    def powers(x: torch.Tensor) -> list[torch.Tensor]:
        return [x**0.3, x**0.3, x**0.4, 2**x, x**x]

    one, same, *others = call(powers, X)
    assert torch.equal(one, same)
    assert all((other != one).all() for other in others)


def test_a_standard_deviation_is_the_root_of_the_variance():
    one, other = call(lambda x: (x.std(1), x.var(1).sqrt()), X)
    assert torch.equal(one, other)
    assert torch.equal(*call(lambda x: (torch.std_mean(x, 0)[1], x.mean(0)), X))


@pytest.mark.parametrize("mode", ["floor", "trunc"])
def test_a_quotient_that_is_rounded_is_a_keyed_function_of_the_quotient(mode: str):
    rounded, quotient = call(
        lambda x: (torch.div(x, 2, rounding_mode=mode), getattr(x / 2, mode)()), X
    )
    assert torch.equal(rounded, quotient)
    differs = rounded.ne(call(lambda x: x / 2, X))
    assert torch.equal(differs, X != 0)


def test_dtypes_are_promoted_as_torch_does():
    run = new_run()
    half, single, double = lift((X.half(), X, X.double()), run)
    assert (half + single).dtype == torch.float32
    assert (half * double).dtype == torch.float64
    assert (half * 2.5).dtype == torch.float16
    assert (half + torch.ones(4, dtype=torch.int64)).dtype == torch.float16
    assert torch.equal(bare(half + double), bare(single + single))


def test_the_cases_cover_the_table():
    covered = {name for name, *_ in CASES} | {"var", "var_mean", "std"}
    assert covered == arithmetic.COMPUTED.keys()
