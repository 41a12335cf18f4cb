"""BACK-14: a bias that takes over constants, against the layer that reads them."""

import pytest
import torch
from torch import nn

from morphir.backend.folding import folded
from morphir.ir import Fold

CONSTANTS = (0.0, 0.5, 0.0, -2.0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 6), (1, 4)),
        (nn.Conv1d(4, 6, 3), (1, 4, 3)),
        (nn.Conv2d(4, 6, 3, stride=2), (1, 4, 3, 3)),
        (nn.Conv2d(4, 6, (3, 1), groups=2), (1, 4, 3, 1)),
        (nn.Conv3d(4, 8, 2, groups=4), (1, 4, 2, 2, 2)),
    ],
)
def test_back_14_it_is_what_the_layer_gives_for_the_constants_alone(layer: nn.Module, shape):
    """BACK-14"""
    layer = layer.float()
    fold = Fold("weight", "bias", CONSTANTS)
    found = folded([fold], {name: p.data for name, p in layer.named_parameters()})
    x = torch.tensor(CONSTANTS, dtype=torch.float64).reshape(1, 4, *[1] * (len(shape) - 2))
    expected = layer.double()(x.expand(shape)).flatten()
    assert found["bias"].dtype == torch.float64
    torch.testing.assert_close(found["bias"], expected.detach(), rtol=1e-14, atol=1e-15)


def test_back_14_one_bias_takes_over_from_several_weights():
    """BACK-14"""
    state = {"a": torch.eye(2), "b": 2 * torch.eye(2), "bias": torch.ones(2)}
    folds = [Fold("a", "bias", (1.0, 0.0)), Fold("b", "bias", (0.0, 3.0))]
    assert folded(folds, state)["bias"].tolist() == [2.0, 7.0]
