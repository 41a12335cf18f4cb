"""A failed claim says which op and call; results are compared as strictly as their dtype allows."""

import torch

from morphir.ops import DEFAULT_TABLE
from morphir.ops.verdict import ContractError, close, results_of

RELU = DEFAULT_TABLE.get("relu")


def test_an_error_shows_the_call():
    assert RELU is not None
    error = ContractError(RELU, {"input": torch.zeros(2, 3), "k": (1, "a")}, "AXIS-4: no")
    assert str(error) == "op 'relu' on (input=float32[2, 3], k=(1, 'a')): AXIS-4: no"


def test_results_are_listed():
    assert RELU is not None
    assert [r.tolist() for r in results_of(RELU, {"input": torch.tensor([-1.0, 2.0])})] == [
        [0.0, 2.0]
    ]


def test_results_agree_to_the_rounding_of_their_dtype():
    x = torch.rand(10, dtype=torch.float64)
    assert close(x * (1 + 1e-12), x)
    assert not close(x * (1 + 1e-8), x)
    assert close((x * (1 + 1e-7)).float(), x.float())
    assert not close(x.float(), x), "another dtype"


def test_integers_and_nans_agree_exactly():
    assert not close(torch.tensor([1]), torch.tensor([2]))
    nan = torch.tensor([float("nan")])
    assert close(nan, nan)
    assert not close(nan, torch.tensor([0.0]))


def test_what_cancels_is_close_to_the_rounding_of_its_terms():
    left, right = torch.tensor([0.1, 0.7], dtype=torch.float64), torch.tensor([0.3 - 0.2, 0.7])
    difference = left - right.double()
    zero = torch.zeros(2, dtype=torch.float64)
    assert not close(difference * 1e-9, zero)
    assert close(difference * 1e-9, zero, [left])
    assert not close(zero + 1e-6, zero, [left])
