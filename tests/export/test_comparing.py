"""When two sets of outputs agree."""

import pytest
import torch

from morphir.errors import VerificationError
from morphir.export import comparing


def test_onnx_1_the_smallest_difference_that_counts():
    """ONNX-1"""
    wanted = torch.ones(10)
    for factor, agrees in ((1 + 0.9e-5, True), (1 + 1.2e-5, False)):
        comparison = comparing.Comparison()
        comparison.add(wanted, wanted * factor)
        assert comparison.agrees == agrees
    exact = wanted.double() * (1 + 1e-4)  # the module itself is 1e-4 off
    for factor, agrees in ((1 - 3.9e-4, True), (1 - 4.1e-4, False)):
        comparison = comparing.Comparison()
        comparison.add(wanted, wanted * factor, exact)
        assert comparison.agrees == agrees
        assert comparison.worst == pytest.approx(1 - factor, rel=1e-2)
    comparison = comparing.Comparison()
    comparison.add(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert not comparison.equal
    with pytest.raises(VerificationError):
        comparison.check()


def test_not_a_number_agrees_with_itself_only():
    nan = torch.tensor([1.0, float("nan"), float("inf")])
    assert comparing._distance(nan, nan.clone()) == 0.0
    assert comparing._distance(nan, torch.tensor([1.0, 2.0, float("inf")])) == float("inf")
    assert comparing._distance(torch.zeros(2), torch.tensor([0.0, 1e-30])) == float("inf")
    assert comparing._distance(torch.zeros(0), torch.zeros(0)) == 0.0


def test_rows_are_varied_and_constants_are_not():
    x, table, ids = torch.arange(1.0, 9).reshape(2, 4), torch.ones(3, 4), torch.tensor([5, 6])
    rows = comparing.rows_of((x, table, ids, torch.tensor(2.0)), 2, 5)
    assert rows[0].shape == (5, 4)
    assert bool((rows[0] > 0).all())
    assert bool((rows[0] <= x[torch.arange(5) % 2]).all())
    assert torch.equal(rows[1], table)
    assert rows[2].tolist() == [5, 6, 5, 6, 5]
    noisy = comparing.rows_of((torch.zeros(2, 4),), 2, 7, noise=True)[0]
    assert bool((noisy != 0).all())
