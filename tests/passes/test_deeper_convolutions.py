"""Where a convolution goes in, and of which kernel and groups."""

from typing import Any

import pytest
import torch
from torch import nn

from morphir import RefusalError
from tests.passes.nets import Images, grow


def new_weight(model: nn.Module) -> torch.Tensor:
    named = model.named_parameters()
    return next(p for name, p in named if "deeper" in name and name.endswith("weight"))


def convolutions(dimensions: int, **options: Any) -> tuple[nn.Sequential, torch.Tensor]:
    kind = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    model = nn.Sequential(
        kind(3, 4, 3, padding=1, **options), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2)
    )
    x = torch.randn(2, 3, *[5] * dimensions)
    model(x)
    return model, x


@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_in_convolutions_of_every_dimension(dimensions: int, block: str):
    model, x = convolutions(dimensions)
    grown = grow(model, "1", x, block=block).module
    weight = new_weight(grown)
    assert weight.shape == (4, 4, *[3] * dimensions)


@pytest.mark.parametrize("kernel", [1, 2, 4, 5, (3, 1), (2, 3), [4, 2]])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_in_convolutions_with_kernels_of_their_own(kernel: Any, block: str):
    model, x = convolutions(2)
    grown = grow(model, "1", x, block=block, kernel_size=kernel).module
    weight = new_weight(grown)
    expected = kernel if isinstance(kernel, int) else tuple(kernel)
    assert tuple(weight.shape[2:]) == ((expected,) * 2 if isinstance(expected, int) else expected)


@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_takes_the_groups_of_its_surroundings(kernel: int, block: str):
    model = nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1))
    x = torch.randn(2, 4, 6, 6)
    grown = grow(model, "1", x, block=block, kernel_size=kernel).module
    weight = new_weight(grown)
    assert weight.shape[:2] == (8, 2)
    dense = grow(model, "1", x, block=block, kernel_size=kernel, groups=1).module
    weight = new_weight(dense)
    assert weight.shape[:2] == (8, 8)
    with pytest.raises(RefusalError, match="groups=3 does not divide its 8 channels"):
        grow(model, "1", x, block=block, groups=3)


def test_deeper_after_a_depthwise_convolution():
    model = nn.Sequential(nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    grown = grow(model, "1", torch.randn(2, 6, 5, 5)).module
    assert grown.get_submodule("1_deeper1").layer.weight.shape == (6, 1, 3, 3)


def test_deeper_after_flatten_is_a_linear_layer():
    model, x = convolutions(2)
    block = grow(model, "2", x).module.get_submodule("2_deeper1")
    assert isinstance(block.layer, nn.Linear)
    assert block.layer.in_features == 100


def test_deeper_after_pooling_is_a_convolution():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1))
    block = grow(model, "2", torch.randn(2, 3, 8, 8)).module.get_submodule("2_deeper1")
    assert block.layer.weight.shape == (4, 4, 3, 3)


def test_deeper_in_an_image_model_at_every_convolution():
    model, x = Images(), torch.randn(2, 3, 6, 6)
    for at in ("stem", "one"):
        model = grow(model, at, x).module
    grow(model, "two", x, block="residual")


def test_a_kernel_of_another_dimension_is_refused():
    model, x = convolutions(1)
    with pytest.raises(RefusalError, match="does not fit a 1-dimensional convolution"):
        grow(model, "1", x, kernel_size=(3, 3))
