"""A counterexample is small where it can be, and can be typed or fetched."""

import torch

from morphir.checks.counterexample import single_row, written

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
