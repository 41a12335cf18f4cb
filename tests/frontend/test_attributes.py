"""FRONT-10: whole numbers that modules keep, and what they are."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from morphir.frontend import trace
from morphir.frontend.isolation import Scratch
from morphir.frontend.sizes import Computed, ReadAttribute, ReadState, TaggedInt
from morphir.ir import TensorType
from tests.frontend.models import Attention


def read(model: nn.Module, key: str):
    """The expression of an attribute of the copy; a plain number is its own."""
    value = getattr(Scratch(model).module, key)
    return value.expression if isinstance(value, TaggedInt) else value


def size(tensor: torch.Tensor, name: str, axis: int) -> ReadState:
    return ReadState(name, axis, TensorType.of(tensor))


def test_whole_numbers_of_the_users_modules_are_tagged():
    model = nn.Sequential(Attention(), nn.Linear(8, 8))
    scratch = Scratch(model).module
    heads = scratch[0].n_head
    assert type(heads) is TaggedInt
    assert heads.expression == ReadAttribute("0", "n_head", 2)
    assert type(scratch[0].training) is bool
    assert type(model[0].n_head) is int


def test_of_torchs_modules_the_sizes_of_axes_are_tagged_and_no_other_numbers():
    model = nn.Sequential(nn.Conv1d(8, 8, 1), nn.Conv1d(8, 8, 1, groups=4), nn.LayerNorm((3, 5)))
    plain, grouped, norm = Scratch(model).module
    assert grouped.groups.expression == ReadAttribute("1", "groups", 4)
    assert [n.expression.name for n in norm.normalized_shape] == [
        "normalized_shape[0]",
        "normalized_shape[1]",
    ]
    untagged = (plain.groups, *grouped.kernel_size, model[1].groups, model[1].in_channels)
    assert {*map(type, untagged)} == {int}


@pytest.mark.parametrize(
    ("module", "sizes"),
    [
        (nn.Linear(3, 4), {"out_features": ("weight", 0), "in_features": ("weight", 1)}),
        (nn.Bilinear(3, 4, 5), {"in1_features": ("weight", 1), "in2_features": ("weight", 2)}),
        (nn.Conv2d(3, 4, 1), {"out_channels": ("weight", 0), "in_channels": ("weight", 1)}),
        (
            nn.ConvTranspose1d(3, 4, 1),
            {"out_channels": ("weight", 1), "in_channels": ("weight", 0)},
        ),
        (nn.BatchNorm1d(3), {"num_features": ("running_mean", 0)}),
        (nn.BatchNorm1d(3, track_running_stats=False), {"num_features": ("weight", 0)}),
        (nn.GroupNorm(3, 6), {"num_channels": ("weight", 0)}),
        (nn.Embedding(3, 4), {"num_embeddings": ("weight", 0), "embedding_dim": ("weight", 1)}),
        (nn.PReLU(3), {"num_parameters": ("weight", 0)}),
        (nn.LSTM(3, 4), {"input_size": ("weight_ih_l0", 1)}),
        (nn.GRUCell(3, 4), {"input_size": ("weight_ih", 1), "hidden_size": ("weight_hh", 1)}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_front_10_what_torchs_modules_write_down_is_a_size(module: nn.Module, sizes: dict):
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    for key, (name, axis) in sizes.items():
        assert read(module, key) == size(tensors[name], name, axis)


def test_front_10_channels_are_those_of_each_group():
    module = nn.Conv1d(6, 8, 1, groups=2)
    each = size(module.weight, "weight", 1)
    assert read(module, "in_channels") == Computed("*", each, ReadAttribute("", "groups", 2))


def test_front_10_a_subclass_is_what_it_is_a_subclass_of():
    """Equalized learning rate reads the width of its own weight."""

    class Equalized(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(x, self.weight * self.in_features**-0.5, self.bias)

    module = Equalized(3, 4)
    assert read(module, "in_features") == size(module.weight, "weight", 1)
    text = str(trace(module, example_inputs=(torch.zeros(2, 3),)))
    assert "float(size=size(@weight, 1))" in text


def test_front_10_a_number_that_is_no_size_is_what_it_was():
    module = nn.Linear(3, 4)
    module.in_features = 7
    assert read(module, "in_features") == 7
    norm = nn.BatchNorm1d(3, affine=False, track_running_stats=False)
    assert read(norm, "num_features") == 3


def test_front_10_a_tensor_that_is_computed_has_the_shape_of_what_it_is_computed_from():
    pruned = prune.l1_unstructured(nn.Linear(3, 4), "weight", 0.5)
    assert read(pruned, "in_features") == size(pruned.weight_orig, "weight_orig", 1)
    module = parametrizations.orthogonal(nn.Linear(3, 4))
    original = "parametrizations.weight.original"
    assert read(module, "in_features") == size(module.weight, original, 1)
