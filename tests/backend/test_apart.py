"""BACK-17: tensors in one memory, over one another or side by side."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn

import morphir
from morphir import CompactPass, Grade, RefusalError, WiderPass
from morphir.backend.apart import check_apart
from tests.specimens import fingerprint

X = torch.randn(3, 4)
WIDER = WiderPass(at="0", width=12)


def lay_flat(parameters: Iterable[torch.Tensor]) -> None:
    """Makes parameters the slices of one flat tensor."""
    each = [*parameters]
    flat = torch.cat([parameter.detach().flatten() for parameter in each])
    for parameter, part in zip(each, flat.split([p.numel() for p in each]), strict=True):
        parameter.data = part.view_as(parameter)


def flat() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    lay_flat(net.parameters())
    return net


def with_view() -> nn.Sequential:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    both = torch.randn(2, 8)
    net[0].bias.data = both[0]
    net.register_buffer("other", both[1])
    return net


@pytest.mark.parametrize("make", [flat, with_view])
@pytest.mark.parametrize("inplace", [False, True])
def test_back_17_slices_of_one_memory_are_refused_before_anything_is_done(make, inplace):
    net = make()
    optimizer = torch.optim.Adam(net.parameters())
    before = fingerprint(net, [optimizer])
    with pytest.raises(RefusalError, match=r"'0\.\w+' and '[\w.]+' are two tensors that share"):
        morphir.transform(net, WIDER, optimizer=optimizer, example_inputs=(X,), inplace=inplace)
    assert fingerprint(net, [optimizer]) == before


@pytest.mark.parametrize("make", [flat, with_view])
def test_dry_3_the_plan_is_that_refusal(make):
    """DRY-3"""
    net = make()
    with pytest.raises(RefusalError) as refused:
        morphir.transform(net, WIDER, example_inputs=(X,))
    assert str(morphir.plan(net, WIDER, example_inputs=(X,)).refusal) == str(refused.value)


def test_what_does_not_change_may_lie_in_one_memory():
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    lay_flat([net[2].bias, *net[4].parameters()])
    result = morphir.transform(net, WIDER, example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert result.module[2].bias.untyped_storage().nbytes() == (4 + 8 + 2) * 4


def test_tied_parameters_are_one_tensor():
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    check_apart(net, ["0.weight", "0.bias"])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(3, 4, batch_first=True)
        self.out = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(x)[0])


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("pass_", [WiderPass(at="layer", width=6), CompactPass()])
def test_back_17_a_recurrent_layers_own_weights_lie_side_by_side(pass_, inplace):
    """As torch lays them on a GPU."""
    torch.manual_seed(0)
    net = Recurrent()
    with torch.no_grad():
        net.out.weight[:, 2:] = 0
        net.layer.weight_hh_l0[:, 2:] = 0
    lay_flat(net.layer.parameters())
    optimizer = torch.optim.Adam(net.parameters())
    x = torch.randn(2, 5, 3)
    assert morphir.plan(net, pass_, example_inputs=(x,)).refusal is None
    result = morphir.transform(
        net, pass_, optimizer=optimizer, example_inputs=(x,), inplace=inplace
    )
    assert result.report.grade is Grade.PROVED
    result.module(x).sum().backward()
    result.optimizer.step()


def test_back_17_a_recurrent_layer_beside_another_one_is_refused():
    net = Recurrent()
    lay_flat(net.parameters())
    names = [name for name, _ in net.named_parameters()]
    with pytest.raises(RefusalError, match=r"'layer\.weight_ih_l0' and 'out\.bias'"):
        check_apart(net, names)
