"""The descriptive attributes of torch's modules are read off their tensors."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from morphir.described import describe

MODULES = {
    "Linear": lambda: nn.Linear(3, 5),
    "Bilinear": lambda: nn.Bilinear(2, 3, 5),
    "Conv1d": lambda: nn.Conv1d(4, 6, 3, groups=2),
    "Conv2d": lambda: nn.Conv2d(4, 6, 3),
    "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3, groups=2),
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "InstanceNorm1d": lambda: nn.InstanceNorm1d(4, affine=True),
    "BatchNorm1d": lambda: nn.BatchNorm1d(4, affine=False),
    "LayerNorm": lambda: nn.LayerNorm((3, 4)),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "Embedding": lambda: nn.Embedding(7, 4),
    "EmbeddingBag": lambda: nn.EmbeddingBag(7, 4),
    "PReLU": lambda: nn.PReLU(4),
    "MultiheadAttention": lambda: nn.MultiheadAttention(8, 2),
    "MultiheadAttention of three widths": lambda: nn.MultiheadAttention(8, 2, kdim=3, vdim=5),
    "Transformer": lambda: nn.Transformer(8, 2, 1, 1, 16, batch_first=True),
    "LSTM": lambda: nn.LSTM(3, 4, num_layers=2),
    "LSTM with projections": lambda: nn.LSTM(3, 4, proj_size=2),
    "GRU": lambda: nn.GRU(3, 4),
    "RNN": lambda: nn.RNN(3, 4),
    "LSTMCell": lambda: nn.LSTMCell(3, 4),
    "weight_norm": lambda: parametrizations.weight_norm(nn.Conv2d(4, 6, 3)),
    "spectral_norm": lambda: parametrizations.spectral_norm(nn.Linear(3, 5)),
    "orthogonal": lambda: parametrizations.orthogonal(nn.Linear(5, 5)),
    "older spectral_norm": lambda: nn.utils.spectral_norm(nn.Linear(3, 5)),
    "pruned": lambda: prune.l1_unstructured(nn.Linear(3, 5), "weight", 0.5),
}
COUNTS = {
    "LSTM with projections": 3,
    "MultiheadAttention": 4,
    "Bilinear": 3,
    "LSTMCell": 2,
    "Transformer": 2,
}


@pytest.mark.parametrize("name", MODULES)
def test_back_12_what_is_described_is_so(name):
    """BACK-12: reading it changes nothing"""
    module = MODULES[name]()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    found = describe(module)
    assert found
    assert len(found) == COUNTS.get(name, len(found))
    for attribute, value in found.items():
        assert getattr(module, attribute) == value
        assert type(getattr(module, attribute)) is type(value)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_what_has_no_tensors_or_is_not_torchs_is_not_described():
    class Own(nn.Module):
        in_features = 3

    assert describe(Own()) == {}
    assert describe(nn.LayerNorm(3, elementwise_affine=False)) == {}
    assert describe(nn.BatchNorm1d(3, affine=False, track_running_stats=False)) == {}
    parts = {"custom_encoder": nn.Identity(), "custom_decoder": nn.Identity()}
    assert describe(nn.Transformer(8, 2, **parts)) == {}


class Low(nn.Module):
    def forward(self, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        return left @ right

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return weight[:, :2], weight[:2]


def test_what_is_computed_from_other_shapes_is_not_described():
    linear = nn.Linear(5, 4)
    nn.utils.parametrize.register_parametrization(linear, "weight", Low())
    assert describe(linear) == {}
