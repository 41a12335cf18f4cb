import pytest
import torch
from torch import nn

from morphir import DeeperPass, apply
from morphir.frontend import trace
from tests.frontend.models import X


class Holder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.extra = nn.Sequential(nn.Tanh())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


class Indexes(Holder):
    def last_weight(self) -> torch.Tensor:
        return self.net[-1].weight


class Slices(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net[:2](x) + self.net(x)


class Iterates(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class CallsAChild(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = getattr(self.net, "0")
        return self.net(first(x))


class Inherits(Indexes):
    """The method that indexes is its base's."""


class Counting(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)


class OwnForward(Holder):
    def __init__(self) -> None:
        super().__init__()
        self.net = Counting(*self.net)


class Replaced(Holder):
    def __init__(self) -> None:
        super().__init__()
        self.net.forward = lambda x: x * 2


class Nested(Holder):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 4)))


class Shared(Holder):
    def __init__(self) -> None:
        super().__init__()
        self.again = nn.Sequential(self.net[1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.again(self.net(x))


class Around(nn.Module):
    """Holds what holds the Sequential."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = Holder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.enc(x)


class ReachesIn(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.enc(x) * self.enc.net[2].weight.sum()


class ReachesInUnderAnotherName(Around):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        layers = self.enc.net
        return self.enc(x) * layers[2].weight.sum()


class Counts(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) / len(self.net)


class SumsWeights(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + sum(layer.weight.sum() for layer in self.net[::2])


class UnpacksWeights(Holder):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, *_ = [*self.net]
        return self.net(x) + first.weight.sum()


class IndexesTwice(Nested):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + self.net[1][1].weight.sum()


class IndexesAnother(Holder):
    """`self.net` here is not `self.enc.net`."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + self.net[0].weight.sum()


class Mixed(Around):
    def __init__(self) -> None:
        super().__init__()
        self.other = IndexesAnother()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.enc(x) + self.other(x)


class IndexesItself(nn.Sequential):
    def first_weight(self) -> torch.Tensor:
        return self[0].weight


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (Holder, ("net",)), (Nested, ("net", "net.1")), (Indexes, ()), (Inherits, ()),
        (Slices, ()), (Iterates, ()), (CallsAChild, ()), (OwnForward, ()), (Replaced, ()),
        # The ReLU is called `net.1` wherever it runs, so `net` is not all there is to it.
        (Shared, ("again",)),
        (Around, ("enc.net",)), (ReachesIn, ()), (ReachesInUnderAnotherName, ()), (Counts, ()),
        (SumsWeights, ()), (UnpacksWeights, ()), (IndexesTwice, ()), (Mixed, ("enc.net",)),
        (lambda: IndexesItself(nn.Linear(4, 4), nn.ReLU()), ()),
    ],
)  # fmt: skip
def test_a_sequential_takes_a_child_if_it_only_runs_its_children_in_order(make, expected):
    assert trace(make(), example_inputs=(X,)).sequentials == expected


def test_a_new_layer_leaves_what_others_index_where_it_was():
    grown = apply(ReachesIn(), DeeperPass(at="enc.net.1"), example_inputs=(X,))
    assert [*grown.enc.net._modules] == ["0", "1", "2"]
    assert isinstance(grown.enc.net[2], nn.Linear)


def test_a_sequential_that_never_ran_is_not_named_and_the_root_is():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert trace(model, example_inputs=(X,)).sequentials == ("",)
    assert "extra" not in trace(Holder(), example_inputs=(X,)).sequentials
