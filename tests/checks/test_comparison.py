"""The distance between two results finds what tolerances hide."""

import math
from typing import Any

import pytest
import torch

from morphir.checks.comparison import Findings, distance, numbers_in, plain_in, rms

INF, NAN = float("inf"), float("nan")


def vector(*numbers: float, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.tensor(numbers, dtype=dtype)


def test_equal_is_zero_whatever_it_is():
    for tensor in (vector(1, 2), vector(NAN, INF, -INF), torch.arange(3), torch.zeros(0)):
        assert distance(tensor, tensor.clone()) == 0.0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (vector(0.0, 0.0), vector(0.0, 1e-300)),
        (vector(1.0, 2.0), vector(1.0, NAN)),
        (vector(1.0, 2.0), vector(1.0, INF)),
        (vector(1.0, INF), vector(1.0, -INF)),
        (vector(1.0, NAN), vector(1.0, 2.0)),
        (vector(1.0), vector(1.0, 1.0)),
        (vector(1.0), vector(1.0, dtype=torch.float32)),
        (torch.tensor([1, 2]), torch.tensor([1, 3])),
        (torch.tensor([True]), torch.tensor([False])),
    ],
    ids=str,
)
def test_some_differences_have_no_size(old: torch.Tensor, new: torch.Tensor):
    assert distance(old, new) == math.inf


def test_a_large_row_does_not_hide_a_small_one():
    old = torch.tensor([[1e6, 1e6], [1e-9, 1e-9]], dtype=torch.float64)
    new = old.clone()
    new[1, 0] = 2e-9
    assert distance(old, new) == pytest.approx(0.5)
    new = old.clone()
    new[0, 0] *= 1 + 1e-9
    assert distance(old, new) == pytest.approx(5e-10, rel=1e-3)


def test_a_difference_is_relative_to_its_own_row_whatever_the_shape():
    old = torch.tensor([[1e6, 1e6, 1e6], [1.0, 1.0, 1.0]], dtype=torch.float64)
    for column in range(3):
        new = old.clone()
        new[1, column] += 1e-3
        assert distance(old, new) == pytest.approx(5e-4)


def test_a_vector_is_one_row():
    assert distance(vector(1.0, 1e-9), vector(1.0, 2e-9)) == pytest.approx(2**0.5 * 1e-9)


def test_a_number_is_one_input():
    found = Findings()
    found.add("f on x", vector(1.0).sum(), vector(1.0).sum())
    assert found.inputs == 1


def test_a_zero_row_hides_nothing():
    old = torch.zeros(2, 3, dtype=torch.float64)
    new = old.clone()
    new[1, 2] = 1e-30
    assert distance(old, new) == math.inf


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ((vector(1.0), vector(2.0)), (vector(1.0),)),
        ((vector(1.0), vector(2.0)), (vector(1.0), vector(3.0))),
        ({"a": vector(1.0)}, {"b": vector(1.0)}),
        ((vector(1.0), 3), (vector(1.0), 4)),
        ((vector(1.0), "yes"), (vector(1.0), "no")),
        ((vector(1.0), None), (vector(1.0), vector(2.0))),
        ((vector(1.0), 0.5), (vector(1.0), 0.6)),
        (0.5, 0.5 + 1e-9),
    ],
    ids=str,
)
def test_everything_that_is_returned_counts(old: Any, new: Any):
    found = Findings()
    assert found.add("forward on x", old, old)
    assert found.is_exact
    assert found.add("forward on y", old, new)
    assert not found.is_exact
    assert found.worst > 1e-10
    assert found.where.startswith("forward on y")


def test_a_model_is_not_compared_where_nothing_is_finite():
    found = Findings()
    assert not found.add("f on x", vector(NAN, INF), vector(1.0, 2.0))
    assert found.inputs == 0
    assert found.add("f on x", vector(NAN, 1.0), vector(NAN, 1.0))
    assert found.is_exact


def test_outputs_vary_if_rows_or_calls_differ():
    constant, rows, calls = Findings(), Findings(), Findings()
    constant.add("f on x", torch.ones(3, 2), torch.ones(3, 2))
    constant.add("f on y", torch.ones(3, 2), torch.ones(3, 2))
    assert not constant.has_varied
    rows.add("f on x", torch.eye(3), torch.eye(3))
    assert rows.has_varied
    calls.add("f on x, small", torch.ones(3, 2), torch.ones(3, 2))
    calls.add("f on y, large", torch.zeros(3, 2), torch.zeros(3, 2))
    assert calls.has_varied


def test_findings_are_merged():
    whole, part = Findings(), Findings()
    whole.add("f on x", torch.ones(2, 2), torch.ones(2, 2))
    part.add("f on y", torch.zeros(3, 2), torch.ones(3, 2))
    whole.merge(part)
    assert (whole.inputs, whole.is_exact, whole.worst) == (5, False, math.inf)
    assert whole.where.startswith("f on y")
    assert whole.has_varied, "ones, then zeros"


def test_what_holds_itself_comes_to_an_end():
    value: dict[str, Any] = {"a": 1}
    value["me"] = value
    assert plain_in(value)["['me']['me']['a']"] == 1


def test_plain_values_are_found_by_path():
    value = {"a": (vector(1.0), 2, [None, "x"]), "b": 0.5}
    assert plain_in(value) == {"['a'][1]": 2, "['a'][2][0]": None, "['a'][2][1]": "x"}
    assert set(numbers_in(value)) == {"['a'][0]", "['b']"}


def test_the_root_mean_square_leaves_out_infinities():
    assert rms(vector(3.0, 4.0)) == pytest.approx(math.sqrt(12.5))
    assert rms(vector(2.0, INF, NAN)) == 2.0
    assert rms(vector(NAN)) == 0.0
