"""The first module that returns something else is named."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from morphir.field.trail import Trail, _may_be_same

X = torch.randn(3, 4)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.twice = nn.Linear(4, 4)
        self.last = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.twice(self.twice(self.first(x)).relu()))


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(4, 5), nn.ReLU(), nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 2))
    )


def place(old: nn.Module, new: nn.Module) -> str:
    trails = []
    for model in (old, new):
        model = copy.deepcopy(model)
        trail = Trail(model)
        trail.seen = {}
        with torch.no_grad():
            model(X)
        assert not trail.inside
        trails.append(trail)
    return trails[0].first_difference(trails[1])


def moved(model: nn.Module, name: str) -> nn.Module:
    changed = copy.deepcopy(model)
    with torch.no_grad():
        changed.get_parameter(name).view(-1)[0] += 1
    return changed


def test_equal_models_have_no_difference():
    old = net()
    assert place(old, copy.deepcopy(old)) == ""


def test_the_innermost_module_is_named_with_its_whole_name():
    old = net()
    assert place(old, moved(old, "0.weight")) == "0"
    assert place(old, moved(old, "2.0.bias")) == "2.0"
    assert place(old, moved(old, "2.1.weight")) == "2.1"


def test_the_call_of_a_shared_module_is_counted():
    class Later(Shared):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.twice(self.twice(self.first(x)).sigmoid()))

    old = Shared()
    assert place(old, moved(old, "twice.bias")) == "twice"
    later = Later()
    later.load_state_dict(old.state_dict())
    assert place(old, later) == "twice, call 2"


def test_what_is_between_modules_is_the_models_own():
    class Doubled(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.layer, self.factor = nn.Linear(4, 2), factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) * self.factor

    old, new = Doubled(2.0), Doubled(3.0)
    new.load_state_dict(old.state_dict())
    assert place(old, new) == "the model"


def widened(old: nn.Sequential) -> nn.Sequential:
    """One copy of the second unit, each with half of its outgoing weights."""
    new = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 2)))
    take = [0, 1, 2, 3, 4, 1]
    with torch.no_grad():
        new[0].weight.copy_(old[0].weight[take])
        new[0].bias.copy_(old[0].bias[take])
        halves = old[2][0].weight[:, take].clone()
        halves[:, [1, 5]] /= 2
        new[2][0].weight.copy_(halves)
        new[2][0].bias.copy_(old[2][0].bias)
        new[2][1].load_state_dict(old[2][1].state_dict())
    return new


def whole_net() -> nn.Sequential:
    """Numbers with which floats round nothing."""
    old = net()
    with torch.no_grad():
        for parameter in old.parameters():
            parameter.copy_(torch.randint(-4, 5, parameter.shape).float())
    X.copy_(torch.randint(-4, 5, X.shape).float())
    return old


def test_more_units_are_no_difference_as_long_as_the_old_ones_are_among_them():
    old = whole_net()
    new = widened(old)
    assert place(old, new) == place(new, old) == ""
    assert place(old, moved(new, "0.bias")) == "0"
    assert place(old, moved(new, "2.0.bias")) == "2.0"


def test_where_two_axes_got_longer_nothing_is_said():
    class Products(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :, None] * x[:, None, :]

    def products(units: list[int], bias: float) -> nn.Module:
        net = nn.Sequential(nn.Linear(4, len(units)), Products(), Constant(bias))
        with torch.no_grad():
            net[0].weight.copy_(torch.eye(4)[units])
            net[0].bias.zero_()
        return net

    class Constant(nn.Module):
        def __init__(self, number: float) -> None:
            super().__init__()
            self.number = number

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.full((3,), self.number)

    old = products([0, 1, 2], 1.0)
    assert place(old, products([0, 1, 2, 1], 1.0)) == ""
    assert place(old, products([0, 1, 2, 1], 2.0)) == "2"


def test_an_inserted_module_is_named_where_what_comes_next_is_given_something_else():
    old = net()
    inserted = nn.Linear(5, 5)
    new = copy.deepcopy(old)
    new[1] = nn.Sequential(copy.deepcopy(old[1]), inserted)
    assert place(old, new).startswith("1")
    with torch.no_grad():
        inserted.weight.copy_(torch.eye(5))
        inserted.bias.zero_()
    assert place(old, new) == ""
    assert place(old, moved(new, "2.1.weight")) == "2.1"


@pytest.mark.parametrize(
    ("old", "new", "may_be"),
    [
        ([1, 2], [1, 2, 2], True),
        ([1, 2, 2], [2, 1], True),
        ([1, 3], [1, 2, 2], False),
        ([[1, 2], [3, 4]], [[3, 4], [1, 2], [5, 6]], True),
        ([[1, 2], [3, 4]], [[1, 4], [3, 2], [5, 6]], False),
        ([[1, 2], [3, 4]], [[1, 2, 1], [3, 4, 3]], True),
        ([[1, 2]], [1, 2], True),
        ([1, 2], [[1, 2]], True),
        ([[1, 2]], [[1, 2, 3], [4, 5, 6]], True),
        ([1, 2], [2, 1], False),
    ],
)
def test_units_are_compared_where_one_axis_got_longer(old: list, new: list, may_be: bool):
    assert _may_be_same(torch.tensor(old), torch.tensor(new)) is may_be


def test_what_is_given_to_an_old_module_is_no_insertion():
    class Before(nn.Module):
        def __init__(self, factor: float, *added: nn.Module) -> None:
            super().__init__()
            self.layer, self.factor, self.added = nn.Linear(4, 2), factor, nn.ModuleList(added)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.added:
                x = layer(x)
            return self.layer(x * self.factor)

    old = Before(2.0)
    for new, expected in (
        (Before(3.0), "layer"),
        (Before(2.0, nn.Tanh()), "added.0"),
        (Before(2.0, nn.Identity(), nn.Tanh()), "added.1"),
    ):
        new.load_state_dict(old.state_dict())
        assert place(old, new) == expected
    same = Before(2.0, nn.Identity())
    same.layer.load_state_dict(moved(old, "layer.weight").layer.state_dict())
    assert place(old, same) == "layer"


def test_every_call_is_counted():
    class Thrice(nn.Module):
        def __init__(self, last: float) -> None:
            super().__init__()
            self.layer, self.last = nn.Linear(4, 4), last

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(self.layer(self.layer(x)) * self.last)

    old, new = Thrice(1.0), Thrice(2.0)
    new.load_state_dict(old.state_dict())
    assert place(old, new) == "layer, call 3"


def test_the_place_is_the_module_that_is_being_called():
    places = []

    class Asking(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            places.append(trail.place)
            return x

    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(Asking()))
    trail = Trail(model)
    assert trail.place == "the model"
    model(X)
    assert places == ["1.0"]
    assert trail.seen is None
