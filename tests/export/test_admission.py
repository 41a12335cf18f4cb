"""What can't be exported is told before the work."""

import random

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError
from morphir.export.admission import check_output_names, outputs_of
from tests.specimens import Agent, Net


@pytest.mark.parametrize(
    ("make", "inputs", "message"),
    [
        (lambda: "net", (torch.zeros(2, 4),), "expected a torch.nn.Module, found str"),
        (Agent, (torch.zeros(2, 4),), "Agent has no forward, and ONNX files have no other"),
        (Net, {"forward": ((), {"x": torch.zeros(2, 4)})}, "positional tensors only"),
        (Net, (3,), "no tensor among the example inputs"),
        (Net, (torch.zeros(2, 5),), "^Net does not run on the example inputs: RuntimeError: mat1"),
        (Net, (torch.zeros(2, 4),) * 2, "^Net does not run on the example inputs: TypeError"),
        (Net, (torch.tensor(3.0),), "no batch dimension, or no rows"),
        (Net, (torch.zeros(0, 4),), "no batch dimension, or no rows"),
        (
            lambda: Net().to(torch.bfloat16),
            (torch.zeros(2, 4, dtype=torch.bfloat16),),
            r"bfloat16(.|\n)*float32 inputs",
        ),
    ],
)
def test_what_cannot_be_exported_is_one_clear_refusal(make, inputs, message, tmp_path):
    with pytest.raises(RefusalError, match=message):
        morphir.export_onnx(make(), tmp_path / "a.onnx", example_inputs=inputs)
    assert [*tmp_path.iterdir()] == []


class Noisy(nn.Module):
    """Draws in one of several ways."""

    def __init__(self, draw) -> None:
        super().__init__()
        self.layer, self.draw = nn.Linear(4, 2), draw

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.layer(x)
        return h + self.draw(h)


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return x + self.calls


@pytest.mark.parametrize(
    "draw",
    [
        torch.randn_like,
        lambda h: random.random(),
        lambda h: torch.dropout(torch.ones(2), 0.5, True),
    ],
    ids=["randn_like", "python", "dropout"],
)
def test_onnx_1_a_forward_that_draws_random_numbers_is_refused(draw, tmp_path):
    """ONNX-1: it is as far from itself as from any file"""
    with pytest.raises(RefusalError, match="Noisy draws random numbers in eval mode"):
        morphir.export_onnx(Noisy(draw), tmp_path / "a.onnx", example_inputs=(torch.randn(3, 4),))
    assert [*tmp_path.iterdir()] == []


def test_a_forward_that_keeps_state_is_refused():
    module = Counting()
    with pytest.raises(RefusalError, match="Counting returns something else when it is called a"):
        outputs_of(module, (torch.ones(2, 4),))
    assert float(module.calls) == 0


def test_what_is_drawn_and_not_used_does_no_harm():
    """Also NaN, which is equal to itself here, and dropout, which is off."""
    net = nn.Sequential(Noisy(lambda h: 0 * torch.rand_like(h)), nn.Dropout(0.5))
    (found,) = outputs_of(net, (torch.full((2, 4), float("nan")),))
    assert found.shape == (2, 2)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["action"], r"output_names=\['action'\], expected 2 names, one per tensor(.|\n)*output_1"),
        ("ab", "output_names='ab', expected 2 names"),
        (["a", ""], "expected 2 names"),
        (["a", 3], "expected 2 names"),
        (["a", "a"], "has 'a' twice"),
    ],
)
def test_output_names_are_one_per_output(names, message):
    with pytest.raises(RefusalError, match=message):
        check_output_names(names, 2)
    assert check_output_names(("a", "b"), 2) == ["a", "b"]
    assert check_output_names(None, 2) is None
