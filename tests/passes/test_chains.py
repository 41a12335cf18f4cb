"""Where units are made and where they are read, if nothing but activations is between."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import RefusalError, WiderPass
from morphir.axes import AxisGroups
from morphir.ir import FRESH, AxisMap
from morphir.passes.chains import Chains

X = torch.randn(5, 4)
IMAGE = torch.randn(2, 3, 8, 8)


class Twice(nn.Module):
    """A layer that two others read, one of them behind another activation."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        return self.a(F.gelu(h)) + self.b(torch.tanh(h))


def chains(model: nn.Module, at: str, *inputs: torch.Tensor) -> Chains:
    groups = AxisGroups(morphir.trace(model, example_inputs=inputs))
    leaf = groups.of(at)[0].atom
    fresh = AxisMap.copies(leaf.size, [*range(leaf.size), FRESH])
    return Chains(groups, leaf, groups.resize({leaf: fresh})[0])


def test_the_calls_on_the_way():
    found = chains(Twice(), "fc", X)
    assert (found.weight, found.vectors) == ("fc.weight", ["fc.bias"])
    assert {*found.outgoing} == {"a.weight", "b.weight"}
    assert [found.axis[name] for name in ("fc.weight", "a.weight")] == [0, 1]
    ways = [[node.op for node in (way.first, *way.between, way.last)] for way in found.all]
    assert ways == [["linear", "gelu", "linear"], ["linear", "tanh", "linear"]]


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 2, 3)],
        [nn.ConvTranspose2d(3, 6, 3), nn.SiLU(), nn.Conv2d(6, 2, 3, stride=2)],
        [nn.Conv2d(3, 6, 3, bias=False), nn.ELU(), nn.Dropout(0.1), nn.ConvTranspose2d(6, 2, 3)],
    ],
    ids=str,
)
def test_convolutions(layers: list[nn.Module]):
    found = chains(nn.Sequential(*layers), "0", IMAGE)
    assert found.weight == "0.weight"
    assert len(found.all) == 1


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        ([nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1)], "batch_norm reads them"),
        ([nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 2, 1)], "max_pool2d reads them"),
        ([nn.ReLU(), nn.Flatten(), nn.Linear(216, 2)], "they stand in blocks"),
        ([nn.PReLU(6), nn.Conv2d(6, 2, 1)], "prelu reads them"),
        ([nn.Conv2d(6, 6, 1, groups=6), nn.Conv2d(6, 2, 1)], "2 weights make them"),
    ],
    ids=str,
)
def test_what_is_no_chain_is_refused(between: list[nn.Module], reason: str):
    model = nn.Sequential(nn.Conv2d(3, 6, 3), *between)
    options: dict[str, Any] = {"init": "gradmax", "data": (IMAGE,), "loss": torch.sum}
    with pytest.raises(RefusalError, match=reason) as caught:
        morphir.transform(model, WiderPass(at="0", width=12, **options), example_inputs=(IMAGE,))
    assert caught.value.suggestions[0] == "init='fresh', data=None, loss=None"
    assert caught.value.nodes == ("0",)
