"""FRONT-6: when the recording of a submodule is enough."""

import pytest
import torch
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.frontend import trace
from morphir.frontend.outside import shared_modules
from tests.frontend.models import X

EIGHT = torch.randn(3, 8)


class Body(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(8, 8), nn.Linear(8, 8)
        self.act, self.last = nn.ReLU(), nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.act(self.fc2(self.act(self.fc1(x)))))


class Whole(nn.Module):
    """Cannot be recorded as a whole: it needs what no example can give."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body()
        self.head = nn.Linear(8, 8)

    def forward(self, environment: object) -> torch.Tensor:
        raise NotImplementedError


class Reaching(Whole):
    def forward(self, environment: object) -> torch.Tensor:
        return self.body.fc1.weight.pow(2).sum() + self.body.last[0](EIGHT).sum()


def uses(model: nn.Module) -> dict[str, str]:
    return dict(trace(model, example_inputs=(EIGHT,), entry_points=("body",)).outside)


def test_a_submodule_that_the_rest_only_calls_can_be_changed():
    """FRONT-6, and the change is proved."""
    model = Whole()
    assert uses(model) == {}
    result = morphir.transform(
        model,
        morphir.DeeperPass(at="body.last.1"),
        example_inputs=(EIGHT,),
        entry_points=("body",),
    )
    assert result.report.grade is morphir.Grade.PROVED
    assert torch.equal(model.body(EIGHT), result.module.body(EIGHT))


def test_a_module_with_another_name_outside_is_named():
    model = Whole()
    model.other = model.body.act
    assert uses(model) == {"body.act": "it is also 'other'"}


def test_a_tensor_with_another_name_outside_is_named():
    model = Whole()
    model.head.weight = model.body.fc1.weight
    assert uses(model) == {
        "body.fc1": "its tensor 'body.fc1.weight' is also 'head.weight'",
    }


def test_what_the_class_around_reaches_into_is_named_with_what_it_holds():
    assert uses(Reaching()) == {
        "body.fc1": "Reaching says self.body.fc1.weight.pow",
        "body.last.0": "Reaching says self.body.last.0",
    }

    class Loops(Whole):
        def forward(self, environment: object) -> torch.Tensor:
            return sum(layer(EIGHT).sum() for layer in self.body.last)

    assert uses(Loops()) == dict.fromkeys(
        ["body.last", "body.last.0", "body.last.1"], "Loops says self.body.last"
    )


class Indexes(Whole):
    def one(self, index: int) -> torch.Tensor:
        return self.body.last[index].weight


class Renames(Whole):
    def one(self) -> torch.Tensor:
        body = self.body
        return body.fc1.weight


def test_parts_under_another_name_or_by_a_number_that_is_not_known_are_found():
    assert uses(Indexes()) == dict.fromkeys(
        ["body.last", "body.last.0", "body.last.1"], "Indexes says self.body.last"
    )
    assert uses(Renames()) == {"body.fc1": "Renames says self.body.fc1.weight"}


class Sums(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x) + sum(layer(x) for layer in self.net)


def test_a_loop_over_the_recorded_part_itself_reaches_into_it():
    outside = trace(Sums(), example_inputs=(X,), entry_points=("net",)).outside
    assert outside == dict.fromkeys(["net.0", "net.1"], "Sums says self.net.*")


def test_methods_of_the_submodule_itself_are_no_reach_into_it():
    class Asks(Whole):
        def parts(self) -> list[torch.Tensor]:
            return [*self.body.parameters(), self.head.weight]

    assert uses(Asks()) == {}


def test_sharing_inside_the_submodule_is_no_reason():
    model = Whole()
    model.body.again = model.body.act
    model.body.fc2.weight = model.body.fc1.weight
    assert uses(model) == {}


def test_when_the_whole_model_was_recorded_nothing_is_outside():
    class Runs(Reaching):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x))

    model = Runs()
    model.other = model.body.act
    assert trace(model, example_inputs=(EIGHT,)).outside == {}


@pytest.mark.parametrize("at", ["body.fc1", "body.act"])
def test_a_change_of_such_a_module_is_refused(at: str):
    """FRONT-6, by the whole pipeline: nothing is changed."""
    model = Whole()
    model.other = model.body.act
    model.head.weight = model.body.fc1.weight
    names = [*model.state_dict()]
    with pytest.raises(RefusalError, match="is used outside of what was recorded: it"):
        morphir.transform(
            model,
            morphir.DeeperPass(at=at, block="residual"),
            example_inputs=(EIGHT,),
            entry_points=("body",),
        )
    assert [*model.state_dict()] == names


def test_shared_modules_are_listed_by_their_first_name():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    model.add_module("again", model[1])
    model.add_module("once more", model[1])
    assert shared_modules(model) == {"1": ("again", "once more")}
    assert trace(model, example_inputs=(X,)).shared == {"1": ("again", "once more")}
