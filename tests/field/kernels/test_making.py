"""Tensors that a model makes of nothing are residues where they are floats."""

from __future__ import annotations

import pytest
import torch

from morphir.field.kernels import making
from morphir.field.residues import Residues
from tests.field.lifted import FIELD, Case, assert_lifts, call, cases, lift, new_run, whole

X = whole(2, 3)
WHOLE = torch.tensor([[1, 2], [3, 4]])

CASES: list[Case] = [
    ("zeros", lambda x: (x, torch.zeros(2, 3)), (X,)),
    ("zeros", lambda x: (x, torch.zeros(())), (X,)),
    ("zeros_like", lambda x: (torch.zeros_like(x), torch.zeros_like(WHOLE)), (X,)),
    ("ones", lambda x: (x, torch.ones(4, dtype=torch.float64)), (X,)),
    ("ones_like", lambda x: torch.ones_like(x, dtype=torch.float16), (X,)),
    ("full", lambda x: (x, torch.full((2,), -2.5), torch.full((2,), fill_value=3.0)), (X,)),
    ("full_like", lambda x: torch.full_like(x, 0.75), (X,)),
    ("new_zeros", lambda x: x.new_zeros(2, 2), (X,)),
    ("new_ones", lambda x: (x.new_ones((3,)), x.new_ones(2, dtype=torch.int64)), (X,)),
    ("new_full", lambda x: (x.new_full((2, 1), -3), WHOLE.new_full((2,), 7)), (X,)),
    ("empty", lambda x: torch.empty(2, 3).copy_(x), (X,)),
    ("empty_like", lambda x: torch.empty_like(x).copy_(x), (X,)),
    ("empty_strided", lambda x: torch.empty_strided((2, 3), (1, 2)).copy_(x), (X,)),
    ("new_empty", lambda x: x.new_empty(2, 3).copy_(x), (X,)),
    ("full", lambda x: x + torch.full((3, 3), 1.0).triu(1)[:2] * torch.eye(3)[1], (X,)),
]
DRAWN = {
    "rand": lambda x: torch.rand(2, 3),
    "randn": lambda x: torch.randn((2, 3)),
    "rand_like": torch.rand_like,
    "randn_like": torch.randn_like,
}


@cases(*CASES)
def test_field_1_numbers_that_are_all_the_same_are_lifted(case: Case):
    assert_lifts(case)


@pytest.mark.parametrize("name", DRAWN)
def test_field_6_random_numbers_are_the_same_residues_in_every_run(name: str):
    used: set[str] = set()
    found = [call(DRAWN[name], X, run=new_run(used=used)) for _ in range(2)]
    assert name in used
    assert torch.equal(*found)
    assert found[0].shape == (2, 3)
    assert len(found[0].unique()) == 6
    assert (found[0] >= 0).all()
    assert (found[0] < FIELD.prime).all()


def test_field_6_random_numbers_are_on_the_device_that_is_asked_for():
    for make in (
        lambda x: torch.rand(3, device="meta"),
        lambda x: torch.randn_like(x, device="meta"),
    ):
        assert call(make, X).device.type == "meta"


def test_field_6_the_second_draw_is_another_one_and_so_is_that_of_another_run():
    one, second = call(lambda x: (torch.randn(2, 3), torch.randn_like(x)), X)
    assert (one != second).all()
    run = new_run()
    with run:
        run.begin("other")
        other = torch.randn(2, 3)
    assert isinstance(other, Residues)
    assert (other.residues != one).all()


@pytest.mark.parametrize(
    ("made", "dtype"),
    [
        (lambda x: torch.zeros(2), torch.float32),
        (lambda x: torch.ones(2, dtype=torch.bfloat16), torch.bfloat16),
        (lambda x: torch.zeros_like(x), torch.float16),
        (lambda x: x.new_zeros(2), torch.float16),
        (lambda x: torch.full((2,), 1.0), torch.float32),
        (lambda x: torch.randn(2, dtype=torch.float64), torch.float64),
        (lambda x: torch.rand_like(x), torch.float16),
    ],
)
def test_dtypes_are_those_of_torch(made, dtype: torch.dtype):
    run = new_run()
    with run:
        found = made(lift(X.half(), run))
    assert isinstance(found, Residues)
    assert found.dtype == made(X.half()).dtype == dtype


@pytest.mark.parametrize(
    "made",
    [
        lambda: torch.full((2,), 3),
        lambda: torch.full((2,), True),
        lambda: torch.zeros(2, dtype=torch.int32),
        lambda: torch.ones(2, dtype=torch.bool),
        lambda: torch.zeros_like(WHOLE),
        lambda: WHOLE.new_ones(2),
        lambda: torch.zeros(2, dtype=torch.complex64),
    ],
)
def test_integers_truth_values_and_complex_numbers_stay_plain(made):
    with new_run():
        found = made()
    assert type(found) is torch.Tensor
    assert torch.equal(found, made())
    assert found.dtype == made().dtype


def test_an_infinity_is_one_random_number_and_its_negative():
    def infinite(x: torch.Tensor) -> list[torch.Tensor]:
        upper = torch.full((2, 3), float("inf"))
        return [upper, -upper, torch.full((2, 3), -float("inf")), x.clone().fill_(float("inf"))]

    upper, lower, negative, filled = call(infinite, X)
    assert torch.equal(lower, negative)
    assert torch.equal(upper, filled)
    assert len(upper.unique()) == 1
    assert upper[0, 0] > 1


def test_a_causal_mask_is_0_and_an_infinity():
    found = call(lambda x: x[0, 0] * 0 + torch.full((3, 3), -float("inf")).triu(1), X)
    assert torch.equal(found == 0, torch.ones(3, 3).tril() > 0)


def test_the_cases_cover_the_table():
    assert {name for name, *_ in CASES} | DRAWN.keys() == making.MAKERS.keys()
