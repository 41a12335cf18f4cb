"""Casts are lifted to float64, and units that switch are counted."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.checks.power import LiftToDouble, SwitchRecord
from morphir.ops import DEFAULT_TABLE


@pytest.mark.parametrize(
    "cast",
    [
        lambda x: x.float(),
        lambda x: x.half(),
        lambda x: x.to(torch.float32),
        lambda x: x.to(dtype=torch.bfloat16),
        lambda x: F.softmax(x, -1, dtype=torch.float32),
        lambda x: x + torch.zeros(3, dtype=torch.float32),
        lambda x: x.type(torch.float32),
        lambda x: torch.zeros(size=[3], dtype=torch.float32),
    ],
)
def test_the_models_own_casts_stay_in_float64(cast):
    x = torch.randn(3, dtype=torch.float64)
    with LiftToDouble():
        assert cast(x).dtype == torch.float64


@pytest.mark.parametrize(
    "make",
    [
        lambda image: image / 255.0,
        lambda image: image.float(),
        lambda image: image * 0.5,
        lambda image: torch.tensor([1.0, 2.0]),
        lambda image: torch.ones(3),
        lambda image: torch.Tensor([1.0]),
        lambda image: torch.randn(2),
        lambda image: F.one_hot(image.long(), 300).to(torch.get_default_dtype()),
    ],
)
def test_floats_that_are_made_are_float64(make):
    with LiftToDouble():
        assert make(torch.tensor([3, 255], dtype=torch.uint8)).dtype == torch.float64


def test_the_default_dtype_comes_back_whatever_happens():
    def fail() -> None:
        with LiftToDouble():
            torch.set_default_dtype(torch.float32)
            raise ZeroDivisionError

    torch.set_default_dtype(torch.bfloat16)
    try:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)


def test_other_casts_are_left_alone():
    x = torch.randn(3)
    with LiftToDouble():
        assert x.long().dtype == torch.int64
        assert x.to(torch.int32).dtype == torch.int32
        assert x.relu().dtype == torch.float32


def record_of(model: nn.Module, *inputs: torch.Tensor) -> SwitchRecord:
    record = SwitchRecord(DEFAULT_TABLE)
    for x in inputs:
        with record:
            record.start_run("forward")
            model(x)
    return record


def test_a_unit_has_switched_when_it_was_on_and_off():
    relu = nn.ReLU()
    assert record_of(relu, torch.tensor([[1.0, -1.0, 1.0, -1.0]])).share == 0.0
    assert record_of(relu, torch.tensor([[1.0, -1.0], [-1.0, -1.0]])).share == 0.5
    assert record_of(relu, torch.tensor([[1.0, -1.0]]), torch.tensor([[-1.0, 1.0]])).share == 1.0


def test_without_a_batch_each_element_is_a_unit():
    relu = nn.ReLU()
    assert record_of(relu, torch.tensor([1.0, -1.0])).share == 0.0
    assert record_of(relu, torch.tensor([1.0, -1.0]), torch.tensor([-1.0, 1.0])).share == 1.0
    assert record_of(relu, torch.tensor(1.0), torch.tensor(-1.0)).share == 1.0


def test_only_piecewise_activations_count():
    assert record_of(nn.Sequential(nn.Tanh(), nn.Linear(2, 2)), torch.randn(4, 2)).share is None
    both = record_of(nn.Sequential(nn.ReLU(), nn.Hardtanh()), torch.tensor([[1.0], [-1.0]]))
    assert both.share == 1.0


def test_the_pull_points_to_units_that_sleep():
    record = record_of(nn.ReLU(), torch.tensor([[1.0, -1.0, -3.0], [-1.0, -1.0, -1.0]]))
    x = torch.zeros(2, 3, requires_grad=True)
    with record:
        record.start_run("forward")
        F.relu(x)
    assert record.pull is not None
    (gradient,) = torch.autograd.grad(record.pull, x)
    # Unit 0 has switched; of the sleeping ones, unit 1 belongs to row 1 and unit 2 to row 0.
    assert gradient.tolist() == [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]


def test_the_pulls_of_all_activations_add_up():
    record = record_of(nn.Sequential(nn.ReLU(), nn.ReLU()), torch.tensor([[-1.0, 1.0]]))
    x = torch.zeros(1, 2, requires_grad=True)
    with record:
        record.start_run("forward")
        F.relu(x)
        F.relu(2 * x)
    assert record.pull is not None
    (gradient,) = torch.autograd.grad(record.pull, x)
    assert gradient.tolist() == [[3.0, -3.0]], "off, then on"
