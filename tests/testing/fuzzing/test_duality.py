"""FUZZ-4: gradients and moments by dense matrices."""

from fractions import Fraction

import torch

from morphir.ir import AxisMap, Mapped
from morphir.ir.change import Added, Multiplied
from morphir.testing.fuzzing.duality import kept, pulled_back, transported

UNEQUAL = AxisMap(2, (0, 1, 0, -1), (Fraction(5, 4), Fraction(1), Fraction(-1, 4), Fraction(0)))
COPY, SPLIT = Mapped(2, UNEQUAL), Mapped(2, UNEQUAL, "split")
OLD = torch.tensor([2.0, 3.0])


def test_fuzz_4_values_on_either_axis():
    """FUZZ-4: a copy hands its gradient on in full, a part by its share"""
    new = torch.tensor([1.0, 10.0, 100.0, 1000.0], dtype=torch.float64)
    assert pulled_back(new, (COPY,)).tolist() == [101.0, 10.0]
    assert pulled_back(new, (SPLIT,)).tolist() == [1.25 - 25.0, 10.0]


def test_fuzz_4_moments_by_their_kind():
    """FUZZ-4"""
    assert transported(OLD, (COPY,), "gradient").tolist() == [2.5, 3.0, -0.5, 0.0]
    assert transported(OLD, (SPLIT,), "gradient").tolist() == [2.0, 3.0, 2.0, 0.0]
    assert transported(OLD, (COPY,), "squared").tolist() == [3.125, 3.0, 0.125, 0.0]
    assert transported(OLD, (COPY,), "squared", 1.0).tolist() == [2.5625, 3.0, 1.0625, 1.0]
    assert transported(OLD, (COPY,), "magnitude").tolist() == [2.5, 3.0, 0.5, 0.0]
    assert transported(OLD, (COPY,), "update").tolist() == [2.0, 3.0, -2.0, 0.0]
    assert transported(OLD, (COPY,), "update_size").tolist() == [2.0, 3.0, 2.0, 0.0]


def test_fuzz_4_products_and_sums_of_changes():
    """FUZZ-4: the major factor first; terms one after the other"""
    blocks = Multiplied((COPY, Mapped(2)))
    old = torch.tensor([1.0, 2.0, 3.0, 4.0])
    found = transported(old, (blocks,), "gradient")
    assert found.tolist() == [1.25, 2.5, 3.0, 4.0, -0.25, -0.5, 0.0, 0.0]
    found = transported(torch.tensor([2.0, 3.0, 7.0]), (Added((COPY, Mapped(1))),), "gradient")
    assert found.tolist() == [2.5, 3.0, -0.5, 0.0, 7.0]


def test_fuzz_4_is_the_chain_rule():
    """FUZZ-4: both axes of a matrix, with what autograd says of the map itself"""
    old = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    new = UNEQUAL.apply(UNEQUAL.apply(old, 0, "copy"), 1, "split")
    weights = torch.randn(4, 4, dtype=torch.float64)
    (expected,) = torch.autograd.grad((new * weights).sum(), old)
    torch.testing.assert_close(pulled_back(weights, (COPY, SPLIT)), expected)


def test_what_is_gone_is_told():
    without = AxisMap(3, (0, 2), (Fraction(1), Fraction(1)))
    assert kept(torch.ones(3), (Mapped(3, without),)).tolist() == [True, False, True]
