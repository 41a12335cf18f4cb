"""Which layer fits a value."""

from typing import Any

import pytest
import torch
from torch import nn

from morphir.frontend import record
from morphir.passes.layers import Fit, fit
from tests.passes.nets import Drops
from tests.passes.programs import LINEAR, parse


def fit_of(
    model: nn.Module, *inputs: torch.Tensor, kernel_size: Any = 3, groups: Any = None
) -> Fit | str:
    program = record(model, example_inputs=inputs).program
    graph = program.graphs["forward"]
    return fit(program, graph, graph.outputs[0][1], kernel_size, groups)


def test_a_row_gets_a_linear_layer():
    found = fit_of(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), torch.randn(2, 4))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel, found.groups, found.bias) == (8, (), 1, True)
    assert found.follows == ("0.weight", "0.bias")


def test_a_sequence_gets_a_linear_layer_on_its_last_axis():
    found = fit_of(nn.Linear(4, 8, bias=False), torch.randn(2, 5, 4))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel, found.bias) == (8, (), False)


def test_an_image_gets_a_convolution():
    model = nn.Sequential(nn.Conv2d(3, 8, 3, groups=1), nn.BatchNorm2d(8), nn.ReLU())
    found = fit_of(model, torch.randn(2, 3, 6, 6), kernel_size=(1, 2))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel, found.groups) == (8, (1, 2), 1)
    assert found.follows[:2] == ("0.weight", "0.bias"), "the layer it resembles, then the norm"
    assert "1.weight" in found.follows


def test_patches_become_rows_again():
    """A vision transformer: convolution, flatten, transpose."""

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 2, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x).flatten(2).transpose(1, 2)

    found = fit_of(Patches(), torch.randn(2, 3, 6, 6))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel) == (8, ())


@pytest.mark.parametrize(
    ("layer", "features", "groups"),
    [
        (nn.ConvTranspose1d(3, 4, 3), 4, 1),
        (nn.ConvTranspose2d(4, 6, 2, 2, groups=2), 6, 2),
        (nn.ConvTranspose3d(3, 5, 2, bias=False), 5, 1),
    ],
    ids=str,
)
def test_an_image_of_a_transposed_convolution_gets_a_convolution(
    layer: nn.Module, features: int, groups: int
):
    """A decoder: rows become an image, which the transposed convolution enlarges."""
    sizes = (layer.in_channels, *[3] * len(layer.kernel_size))
    unfold = nn.Sequential(nn.Linear(5, torch.Size(sizes).numel()), nn.Unflatten(1, sizes))
    found = fit_of(nn.Sequential(unfold, layer, nn.ReLU()), torch.randn(2, 5))
    assert isinstance(found, Fit)
    assert (found.features, found.groups) == (features, groups)
    assert found.kernel == (3,) * len(layer.kernel_size)
    assert found.bias == (layer.bias is not None)


class Turned(nn.Module):
    """A convolution whose channels end up last, as in ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).permute(0, 2, 3, 1)


def test_an_image_with_channels_last_gets_a_linear_layer():
    found = fit_of(Turned(), torch.randn(2, 3, 6, 6))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel) == (8, ())
    beside = fit_of(nn.Sequential(nn.Conv2d(3, 8, 3), nn.GLU(1)), torch.randn(2, 3, 6, 6))
    assert isinstance(beside, Fit)
    assert (beside.features, beside.kernel) == (4, (3, 3))


@pytest.mark.parametrize(
    ("model", "x"),
    [
        (nn.LayerNorm(4), torch.randn(2, 4)),
        (nn.Embedding(9, 4), torch.tensor([[1, 2, 3]])),
        (nn.Tanh(), torch.randn(2, 4)),
    ],
    ids=str,
)
def test_rows_that_no_layer_made_get_a_linear_layer(model: nn.Module, x: torch.Tensor):
    found = fit_of(model, x)
    assert isinstance(found, Fit)
    assert (found.features, found.kernel, found.bias) == (4, (), True)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_it_resembles_the_last_layer_that_ran_whatever_lies_between(mode: Any):
    """Stochastic depth computes more in train mode, and the block must be the same."""
    program = record(Drops(), example_inputs=(torch.randn(2, 8),), mode=mode).program
    graph = program.graphs["forward"]
    found = fit(program, graph, graph.calls_of("block")[0].results[0], 3, None)
    assert isinstance(found, Fit)
    assert found.bias
    assert found.follows[:2] == ("two.weight", "two.bias")


def test_an_image_resembles_a_convolution_also_where_a_linear_layer_scales_it():
    class Excited(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(x)
            return x * self.fc(x.mean((2, 3))).sigmoid()[:, :, None, None]

    found = fit_of(Excited(), torch.randn(2, 3, 6, 6))
    assert isinstance(found, Fit)
    assert (found.features, found.kernel, found.follows[0]) == (8, (3, 3), "conv.weight")


def test_groups_are_those_of_the_surroundings_or_those_asked_for():
    x = torch.randn(2, 4, 6, 6)
    model = nn.Conv2d(4, 8, 3, groups=2)
    assert fit_of(model, x).groups == 2
    assert fit_of(model, x, groups=8).groups == 8
    assert fit_of(model, x, groups=3) == "groups=3 does not divide its 8 channels"


def test_the_dtype_is_that_of_the_value():
    class Casting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).double()

    assert fit_of(Casting(), torch.randn(2, 4)).like.dtype == torch.float64
    assert (
        fit_of(nn.Linear(4, 8).bfloat16(), torch.randn(2, 4).bfloat16()).like.dtype
        == torch.bfloat16
    )


@pytest.mark.parametrize(
    ("model", "shape", "reason"),
    [
        (nn.MaxPool2d(2), (2, 3, 4, 4), "and its output f32[B, 3, 2, 2] is no row"),
        (nn.Sequential(nn.Conv1d(3, 4, 3), nn.Unflatten(1, (2, 2))), (2, 3, 6), "neither an image"),
        (nn.Conv2d(3, 4, 3), (3, 7, 7), "f32[4, 5, 5] is neither an image"),
        (nn.Sequential(nn.Linear(4, 8), nn.Unflatten(1, (2, 2, 2))), (3, 4), "neither an image"),
        (nn.Conv1d(3, 4, 3), (2, 3, 6), "does not fit a 1-dimensional convolution"),
        (nn.Sequential(nn.Linear(4, 8), nn.Flatten(0)), (2, 4), "no feature axis of a fixed size"),
    ],
    ids=str,
)
def test_what_no_layer_fits(model: nn.Module, shape: tuple[int, ...], reason: str):
    found = fit_of(model, torch.randn(shape), kernel_size=(3, 3))
    assert isinstance(found, str)
    assert reason in found


def test_without_types_the_width_is_read_off_the_weight():
    program = parse(
        LINEAR.replace(": f32[B, 4]", "").replace(": f32[B, 8]", "").replace(": f32[B, 2]", "")
    )
    graph = program.graphs["forward"]
    found = fit(program, graph, graph.nodes[1].outputs[0], 3, None)
    assert isinstance(found, Fit)
    assert (found.features, found.bias, found.like.dtype) == (8, True, torch.float32)
