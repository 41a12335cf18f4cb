"""RUN-5: what the runs give to a model that takes more, and compare of one that returns more."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from morphir.checks import Extended, check_double, check_native, double_copy
from morphir.errors import RefusalError
from morphir.ir import Extension, Grade
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net
from tests.specimens import Agent

X = torch.randn(5, 4)
INPUT = Extension("forward", "input", 1, 4, 6)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))


def wider(model: nn.Sequential) -> nn.Sequential:
    """The same with two more features, of weight 0, and one more output."""
    new = copy.deepcopy(model)
    with torch.no_grad():
        first, last = model[0], model[2]
        new[0].weight = nn.Parameter(torch.cat([first.weight, torch.zeros(8, 2)], 1))
        new[2].weight = nn.Parameter(torch.cat([last.weight, torch.randn(1, 8)]))
        new[2].bias = nn.Parameter(torch.cat([last.bias, torch.randn(1)]))
    return new


BOTH = Extended((INPUT,), (Extension("forward", "", 1, 3, 4),))


def runs(old: nn.Module, new: nn.Module, extended: Extended) -> tuple[Grade, Grade]:
    inputs: Any = {"forward": ((X,), {})}
    double = double_copy(old)
    return (
        check_double(double, double_copy(new), inputs, DEFAULT_TABLE, extended).grade,
        check_native(old, new, inputs, double, extended).grade,
    )


def test_run_5_new_features_hold_noise_and_old_outputs_are_compared():
    old = mlp()
    assert runs(old, wider(old), BOTH) == (Grade.TESTED, Grade.TESTED)


@pytest.mark.parametrize("bug", ["weight of a new feature", "old outputs swapped", "old bias"])
def test_run_5_planted_bugs_are_seen(bug: str):
    old = mlp()
    new = wider(old)
    with torch.no_grad():
        if bug == "weight of a new feature":
            new[0].weight[:, 4] = 1e-3
        elif bug == "old outputs swapped":
            new[2].weight[:2] = new[2].weight[:2].flip(0)
        else:
            new[2].bias[1] += 1e-3
    assert runs(old, new, BOTH) == (Grade.REFUTED, Grade.REFUTED)


def test_run_5_a_new_output_may_be_anything():
    old = mlp()
    new = wider(old)
    with torch.no_grad():
        new[2].bias[3] = 1e9
    assert runs(old, new, BOTH) == (Grade.TESTED, Grade.TESTED)


def test_arguments_keep_their_structure_and_get_noise_of_their_own_scale():
    model = Net(lambda s, x, *, batch: x)
    model.forward = lambda x, *, batch: x  # with names for what it takes
    tokens = torch.tensor([[3, 1, 4], [1, 5, 9]])
    claims = (
        Extension("forward", "x", 1, 4, 7),
        Extension("forward", "batch['ids'][0]", 1, 3, 5),
        Extension("get_value", "x", 1, 4, 9),
    )
    given = ((1e3 * X,), {"batch": {"ids": (tokens, X)}})
    args, kwargs = Extended(claims).arguments(model, "forward", given)
    assert torch.equal(args[0][:, :4], 1e3 * X)
    assert 100 < args[0][:, 4:].std() < 1e4
    ids, other = kwargs["batch"]["ids"]
    assert ids.tolist() == [[3, 1, 4, 3, 1], [1, 5, 9, 1, 5]]
    assert torch.equal(other, X)
    assert given[0][0].shape == X.shape
    assert Extended(claims).arguments(model, "encode", given) is given
    again, _ = Extended(claims).arguments(model, "forward", given)
    assert torch.equal(again[0], args[0])


def test_a_tensor_that_is_given_twice_gets_longer_where_that_is_claimed():
    agent = Net(lambda s, x, y: x)
    agent.forward = lambda x, y: x
    claim = Extension("forward", "y", 1, 4, 5)
    (x, y), _ = Extended((claim,)).arguments(agent, "forward", ((X, X), {}))
    assert (x.shape, y.shape) == ((5, 4), (5, 5))


def test_entry_points_have_names_of_their_own():
    claim = Extension("get_value", "x", 1, 8, 9)
    (x,), _ = Extended((claim,)).arguments(Agent(), "get_value", ((torch.zeros(2, 8),), {}))
    assert x.shape == (2, 9)
    assert x[:, 8].all()  # of zeros the scale is 1


def test_an_input_in_an_object_of_its_own_is_refused():
    class Batch:
        def __init__(self) -> None:
            self.obs = X

    model = Net(lambda s, x: x)
    model.forward = lambda x: x
    claim = Extension("forward", "x.obs", 1, 4, 5)
    with pytest.raises(RefusalError, match=r"'x.obs' is held by an object"):
        Extended((claim,)).arguments(model, "forward", ((Batch(),), {}))


@dataclass
class Result:
    logits: torch.Tensor
    name: str


def test_what_is_returned_is_seen_in_the_old_positions():
    claim = Extension("forward", ".logits", 1, 3, 4)
    extended = Extended(outputs=(claim, Extension("forward", "self.kept", 1, 3, 4)))
    four = torch.randn(2, 4)
    old, new = Result(four[:, :3], "a"), Result(four, "a")
    was, now = (extended.seen("forward", each) for each in (old, new))
    assert was.keys() == now.keys()
    assert torch.equal(was[".logits"], now[".logits"])
    assert extended.seen("act", new) is new
