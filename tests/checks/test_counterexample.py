"""A counterexample is small where it can be, and can be typed or fetched."""

import pytest
import torch

from morphir.checks.counterexample import simplest, single_row, written

X = torch.tensor([[0.1, -2.0], [3.0, 4.0], [5.0, 6.0]], dtype=torch.float64)


def test_one_row_is_enough_where_it_differs_alone():
    (row,), named = single_row(((X,), {"mask": X > 3}), lambda given: bool((given[0][0] > 3).any()))
    assert row.tolist() == [[3.0, 4.0]]
    assert named["mask"].tolist() == [[False, True]]


def test_what_has_no_rows_or_differs_only_together_stays():
    whole = (X,), {}
    assert single_row(whole, lambda given: len(given[0][0]) > 1) is whole
    mixed = (X, X[:2]), {}
    assert single_row(mixed, lambda given: True) is mixed
    scalar = (torch.tensor(1.0),), {}
    assert single_row(scalar, lambda given: True) is scalar
    empty = (X[:0],), {}
    assert single_row(empty, lambda given: True) is empty


def test_a_small_one_is_written_as_python_that_makes_it_again():
    text = written(((X, 3), {}))
    x, number = eval(text, {"torch": torch})
    assert torch.equal(x, X)
    assert (x.dtype, number) == (torch.float64, 3)
    args, kwargs = eval(written(((X,), {"mask": X > 3})), {"torch": torch})
    assert torch.equal(args[0], X)
    assert torch.equal(kwargs["mask"], X > 3)


def test_a_large_one_says_where_it_is():
    text = written(((torch.zeros(2, 3, 99, 99), X), {}))
    assert text == "tensors of shapes [2, 3, 99, 99], [3, 2], which the check's `arguments` are"


def test_numbers_are_made_short_and_zero_where_that_is_enough():
    x = torch.tensor([[0.123456, -2.71828], [3.14159, 4.0]])
    given = (x, torch.tensor([7])), {"mask": x > 3}

    def differs(arguments) -> bool:
        return float(arguments[0][0][1, 0]) > 3.1

    (found, number), named = simplest(given, differs)
    assert found.tolist() == [[0.0, 0.0], [pytest.approx(3.14), 0.0]]
    assert (number.tolist(), named["mask"].tolist()) == ([7], (x > 3).tolist())
    assert x[0, 0] != 0, "the caller's are as they were"


def test_numbers_are_cut_to_the_fewest_decimals_that_still_differ():
    x = torch.tensor([1.23456, -0.4])
    for least, most, expected in [
        (1.0, 2.0, 1.0), (1.1, 2.0, 1.2), (1.22, 2.0, 1.23), (1.231, 2.0, 1.235),
        (1.23, 1.2349, 1.23), (1.231, 1.2349, 1.23456),
    ]:  # fmt: skip
        (found,), _ = simplest(
            ((x,), {}), lambda given, a=least, b=most: a <= round(float(given[0][0][0]), 6) <= b
        )
        assert found[0].item() == pytest.approx(expected, abs=1e-7)
        assert found[1].item() == 0
        assert not torch.signbit(found[1])


def test_numbers_of_several_tensors_are_cleared_one_by_one():
    given = (torch.ones(2), torch.ones(3, dtype=torch.int64)), {"b": torch.ones(2, 1)}
    (a, _), kwargs = simplest(given, lambda each: bool(each[1]["b"][1, 0]))
    assert (a.tolist(), kwargs["b"].tolist()) == ([0.0, 0.0], [[0.0], [1.0]])


def test_many_numbers_stay_as_they_are():
    x = torch.randn(33)
    assert torch.equal(simplest(((x,), {}), lambda given: True)[0][0], x)
    assert simplest(((x[:32],), {}), lambda given: True)[0][0].tolist() == [0.0] * 32
