"""What bounds are added up from."""

import pytest
import torch

from morphir.checks.running.operands import Operands, Unknown, gamma, rounding, total, unit


def test_the_unit_roundoff_is_half_the_distance_to_the_next_number():
    assert unit(torch.ones(1)) == 2.0**-24
    assert unit(torch.ones(1).double()) == 2.0**-53


def test_gamma_is_that_of_higham_and_ends_where_it_says_nothing():
    one = torch.ones(1)
    assert gamma(10, one) == pytest.approx(10 * 2.0**-24 / (1 - 10 * 2.0**-24))
    with pytest.raises(Unknown):
        gamma(2.0**24, one)


def test_an_infinity_is_exact():
    found = rounding(torch.tensor([torch.inf, 2.0]))
    assert float(found[0]) < 1e-30
    assert float(found[1]) == pytest.approx(2.0**-23)


def test_bounds_add_up_to_a_little_more_than_their_sum():
    assert 3 < float(total(torch.tensor(1.0), None, torch.tensor(2.0))) < 3.0001


def test_operands_say_what_is_exact_and_what_is_sure():
    x, index = torch.ones(2), torch.tensor([0, 1])
    exact = Operands(lambda _: None, (x, 3), {"dim": 0})
    assert exact.are_exact
    assert exact.are_sure
    assert not exact.bounds(x).any()
    off = Operands(lambda t: torch.ones(t.shape), (x,), {})
    assert not off.are_exact
    assert off.are_sure
    doubtful = Operands(lambda t: torch.ones(t.shape), (x, index), {})
    assert not doubtful.are_sure
    assert not Operands(lambda _: None, (torch.ones(1, dtype=torch.complex64),), {}).are_sure


def test_moved_bounds_are_those_of_the_fractions_only():
    x, index = torch.ones(3), torch.tensor([2, 0])
    bounds = {id(x): torch.tensor([1.0, 2.0, 3.0])}
    operands = Operands(lambda t: bounds.get(id(t)), (x, index), {})
    assert operands.moved(lambda t, i: t[i]).tolist() == [3.0, 1.0]
    joined = operands.moved(lambda *each: torch.cat(each), says_where=False)
    assert joined.tolist() == [1.0, 2.0, 3.0, 0.0, 0.0]
