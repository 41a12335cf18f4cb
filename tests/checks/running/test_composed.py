"""RUN-9: bounds of layers that are spelled out hold."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.checks.running.sound import Function, assert_bounded, bounded

X = torch.randn(3, 6, 5, 5)
CASES: dict[str, Function] = {
    "var": lambda x: x.var(1),
    "var of all": lambda x: x.var(),
    "var, biased": lambda x: x.var(False),
    "var over axes": lambda x: x.var((0, 2), correction=0, keepdim=True),
    "std": lambda x: x.std(1),
    "var_mean": lambda x: torch.stack([*torch.var_mean(x, 1)]),
    "norm": lambda x: x.norm(dim=1),
    "1-norm": lambda x: torch.linalg.vector_norm(x, 1, 1),
    "normalize": lambda x: F.normalize(x, dim=1),
    "layer_norm": lambda x: F.layer_norm(x, (5,)),
    "group_norm": lambda x: F.group_norm(x, 2),
    "instance_norm": lambda x: F.instance_norm(x),
    "softmax": lambda x: x.softmax(1),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "logsumexp": lambda x: x.logsumexp(1),
}


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", range(2))
def test_run_9_what_is_spelled_out_is_no_further_off_than_its_bound(function: Function, seed: int):
    """RUN-9"""
    torch.manual_seed(seed)
    assert_bounded(function, torch.randn(3, 6, 5, 5))


def changed(layer: nn.Module) -> nn.Module:
    """With numbers that are neither 0 nor 1."""
    with torch.no_grad():
        for tensor in (*layer.parameters(), *layer.buffers()):
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape) / 2 + 0.25)
    return layer.eval()


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), (4, 6)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(6), (4, 6, 3, 3)),
    "LayerNorm": (lambda: nn.LayerNorm(6), (4, 6)),
    "RMSNorm": (lambda: nn.RMSNorm(6), (4, 6)),
    "GroupNorm": (lambda: nn.GroupNorm(3, 6), (4, 6, 3)),
    "LSTM": (lambda: nn.LSTM(6, 4, 2, bidirectional=True), (4, 2, 6)),
    "GRU": (lambda: nn.GRU(6, 4), (4, 2, 6)),
    "MultiheadAttention": (lambda: nn.MultiheadAttention(6, 2), (4, 2, 6)),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(6, 2, 12), (4, 2, 6)),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_run_9_layers_are_no_further_off_than_their_bounds(make, shape: tuple[int, ...]):
    """RUN-9"""
    torch.manual_seed(0)
    short = changed(make())
    long = changed(make())
    long.load_state_dict(short.state_dict())
    long.double()

    def called(x: torch.Tensor) -> torch.Tensor:
        layer = short if x.dtype == torch.float32 else long
        several = isinstance(layer, nn.MultiheadAttention)
        found = layer(x, x, x) if several else layer(x)
        return found[0] if isinstance(found, tuple) else found

    assert_bounded(called, torch.randn(shape))


def test_run_9_batch_statistics_have_no_bound():
    """RUN-9: models are run in eval mode."""
    _, bound, run = bounded(nn.BatchNorm1d(4), torch.randn(8, 4))
    assert bool(bound.isinf().all()) or run.lost
