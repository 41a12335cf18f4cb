"""PRUNE-4: which units are constants, and what takes them over."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir.axes import AxisGroups
from morphir.passes.constants import Constants
from morphir.passes.units import Known, Units
from tests.passes.compactions import zero
from tests.passes.test_wider import IMAGE, X


def constants_of(model: nn.Module, at: str, x: torch.Tensor = X) -> Constants:
    program = morphir.trace(model, example_inputs=(x,))
    groups = AxisGroups(program)
    return Constants(program, Units(groups, groups.of(at)[0].atom), Known(program))


def test_prune_4_the_constant_of_every_position():
    model = nn.Sequential(nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 2))
    zero(model[0].weight, [1, 3])
    found = constants_of(model, "0")
    assert found.reasons == {1: "", 3: ""}
    (fold,) = found.folds([3])
    assert (fold.weight, fold.bias) == ("2.weight", "2.bias")
    expected = torch.sigmoid(model[0].bias[3].double()).item()
    assert fold.constants == (0, 0, 0, pytest.approx(expected, rel=1e-14), 0)


def test_prune_4_what_is_zero_is_no_constant():
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
    zero(model[0].weight, [1, 3])
    with torch.no_grad():
        model[0].bias[[1, 3]] = torch.tensor([-1.0, 2.0])
    assert constants_of(model, "0").reasons == {3: ""}


def test_prune_4_a_pixel_each_behind_flatten():
    """Zero padding before the activation makes other constants at the border."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.Flatten(), nn.Linear(3 * 64, 2))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = 0.25
    found = constants_of(model, "0", IMAGE)
    assert found.reasons == {1: ""}
    (fold,) = found.folds([1])
    image = torch.tensor(fold.constants).reshape(3, 8, 8)
    assert torch.equal(image[1], F.pad(torch.full((6, 6), 0.25), (1, 1, 1, 1)))
    assert (image[[0, 2]] == 0).all()


def test_prune_4_not_behind_a_convolution_whose_operand_was_padded():
    """There the sum is another one at the border."""
    model = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.Conv2d(3, 2, 3))
    zero(model[0].weight, 1)
    with torch.no_grad():
        model[0].bias[1] = 0.25
    assert constants_of(model, "0", IMAGE).reasons == {}


class Calls(nn.Module):
    """One layer that reads the same units twice."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.a, self.b, self.factor = nn.Linear(4, 5), nn.Linear(5, 2), factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.a(x).sigmoid()
        return self.b(h) + self.b(h * self.factor).sigmoid()


@pytest.mark.parametrize(
    ("factor", "reason"),
    [(1.0, ""), (2.0, "the unit is another constant at each call of 'b.weight'")],
)
def test_prune_4_every_call_of_a_shared_layer_has_to_read_the_same(factor: float, reason: str):
    model = Calls(factor)
    zero(model.a.weight, 2)
    assert constants_of(model, "a").reasons == {2: reason}


def test_prune_4_what_is_infinite_is_no_constant():
    model = nn.Sequential(nn.Linear(4, 5), nn.Softshrink(), nn.Linear(5, 2))
    assert constants_of(model, "0").reasons == {}
