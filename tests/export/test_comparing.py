"""When two sets of outputs agree."""

import pytest
import torch
from torch import nn

from morphir.errors import RefusalError, VerificationError
from morphir.export import comparing


def test_onnx_1_the_smallest_difference_that_counts():
    """ONNX-1"""
    wanted = torch.ones(10)
    for factor, agrees in ((1 + 0.9e-5, True), (1 + 1.2e-5, False)):
        assert comparing.Comparison.of(wanted, wanted * factor).agrees == agrees
    exact = wanted.double() * (1 + 1e-4)  # the module itself is 1e-4 off
    for factor, agrees in ((1 - 3.9e-4, True), (1 - 4.1e-4, False)):
        comparison = comparing.Comparison.of(wanted, wanted * factor, exact)
        assert comparison.agrees == agrees
        assert comparison.worst == pytest.approx(1 - factor, rel=1e-2)
    comparison = comparing.Comparison.of(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert not comparison.equal
    with pytest.raises(VerificationError):
        comparison.check()


def test_onnx_1_a_module_that_is_far_from_itself_excuses_one_percent_at_most():
    """ONNX-1"""
    wanted, exact = torch.ones(10), torch.full((10,), 2.0, dtype=torch.float64)
    for factor, agrees in ((1.009, True), (1.011, False)):
        assert comparing.Comparison.of(wanted, wanted * factor, exact).agrees == agrees


def test_not_a_number_agrees_with_itself_only():
    nan = torch.tensor([1.0, float("nan"), float("inf")])
    assert comparing.distance(nan, nan.clone()) == 0.0
    assert comparing.distance(nan, torch.tensor([1.0, 2.0, float("inf")])) == float("inf")
    assert comparing.distance(torch.zeros(2), torch.tensor([0.0, 1e-30])) == float("inf")
    assert comparing.distance(torch.zeros(0), torch.zeros(0)) == 0.0


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


def test_a_module_that_takes_one_batch_size_only_is_refused():
    module = nn.Sequential(nn.Unflatten(0, (3, 1)))
    message = "Sequential does not run on the example inputs with a batch of 1: RuntimeError"
    with pytest.raises(RefusalError, match=message):
        [*comparing.batches_of(module, (torch.ones(3, 4),), 3)]
