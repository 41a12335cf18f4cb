"""RUN-1: what the float64 run finds, what it says about its power, and what it lets pass."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn

from morphir.checks import check_double, double_copy
from morphir.checks.calling import Arguments
from morphir.checks.differential import shaken
from morphir.ir import Check, Grade
from morphir.ops import DEFAULT_TABLE
from tests.checks.pairs import Net, pair
from tests.specimens import Agent


def inputs(*tensors: torch.Tensor) -> dict[str, Arguments]:
    return {"forward": (tensors or (torch.randn(4, 8),), {})}


def double(before: nn.Module, after: nn.Module, *tensors: torch.Tensor) -> Check:
    found = check_double(double_copy(before), double_copy(after), inputs(*tensors), DEFAULT_TABLE)
    assert found.name == "float64"
    return found


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


# -- RUN-1 ---------------------------------------------------------------------------------------


def test_run_1_agrees_with_a_copy_and_says_how_hard_it_tried():
    model = mlp()
    check = double(model, copy.deepcopy(model))
    assert check.grade is Grade.TESTED
    assert check.figures["worst"] == 0.0
    assert check.figures["inputs"] >= 32
    assert check.figures["switched"] > 0.9
    assert "no difference" in check.summary


@pytest.mark.parametrize("where", [("0.weight", 17), ("0.bias", 3), ("2.weight", 5), ("2.bias", 0)])
def test_run_1_finds_one_ulp_in_a_float32_weight(where: tuple[str, int]):
    before = mlp()
    after = copy.deepcopy(before)
    with torch.no_grad():
        flat = after.get_parameter(where[0]).view(-1)
        flat[where[1]] = torch.nextafter(flat[where[1]], torch.tensor(9.0))
    check = double(before, after)
    assert check.grade is Grade.REFUTED
    assert check.where.startswith("forward on ")


def test_run_1_wakes_a_unit_that_sleeps_on_the_given_inputs():
    """A unit with a bias of -30 has a wrong outgoing weight; no ordinary input shows it."""
    before = mlp()
    with torch.no_grad():
        before[0].bias[7] = -30.0
    after = copy.deepcopy(before)
    with torch.no_grad():
        after[2].weight[:, 7] += 1.0
    x = torch.randn(64, 8)
    assert torch.equal(before(x), after(x))
    assert double(before, after, x).grade is Grade.REFUTED


def test_run_1_lifts_the_models_own_casts():
    before, after = pair(
        lambda s, x: s.a(x.float()),
        lambda s, x: s.a(x.float()) * (1 + 2**-36),
        a=nn.Linear(8, 4),
    )
    assert double(before, copy.deepcopy(before), torch.randn(4, 8).double()).grade is Grade.TESTED
    assert double(before, after, torch.randn(4, 8).double()).grade is Grade.REFUTED


@pytest.mark.parametrize(
    "new",
    [
        lambda s, x: (s.a(x), (s.a(x) > 0) & (x[:, :4] < 9)),
        lambda s, x: (s.a(x), s.a(x) >= 0),
        lambda s, x: (s.a(x) + 1e-30, s.a(x) > 0),
        lambda s, x: (s.a(x),),
        lambda s, x: (s.a(x), (s.a(x) > 0).float()),
        lambda s, x: (s.a(x) / (s.a(x) - s.a(x) + 1).clamp(min=0), 1),
    ],
)
def test_run_1_compares_every_output(new: Any):
    before, after = pair(lambda s, x: (s.a(x), s.a(x) > 0), new, a=nn.Linear(8, 4))
    with torch.no_grad():
        for model in (before, after):
            model.a.bias.zero_()
    assert double(before, after).grade is Grade.REFUTED


def test_run_1_refutes_a_model_that_raises_or_returns_nan():
    before, after = pair(lambda s, x: s.a(x), lambda s, x: s.a(x[:, :7]), a=nn.Linear(8, 4))
    check = double(before, after)
    assert check.grade is Grade.REFUTED
    assert "only the new model raises" in check.where
    before, after = pair(
        lambda s, x: s.a(x), lambda s, x: s.a(x) * (x.sum() / x.sum()), a=nn.Linear(8, 4)
    )
    assert double(before, after).grade is Grade.REFUTED, "0 / 0 on the zeros"


def test_run_1_leaves_out_what_is_not_finite_on_the_way():
    """exp overflows on large noise, where the old model still returns a number: not promised."""
    before, after = pair(
        lambda s, x: s.a(1 / (1 + torch.exp(x))),
        lambda s, x: s.a((torch.exp(x) * 0 + 1) / (1 + torch.exp(x))),
        a=nn.Linear(8, 4),
    )
    check = double(before, after)
    assert check.grade is Grade.TESTED
    assert re.search(r"; [1-9]\d* probes? left out, not finite on the way$", check.summary)
    given = double(before, after, torch.full((4, 8), 1e4))
    assert given.grade is Grade.REFUTED, "what the caller gave always counts"


def test_run_1_masked_logits_may_be_infinite():
    before, after = pair(
        lambda s, x: s.a(x).masked_fill(s.mask, float("-inf")),
        lambda s, x: s.a(x).masked_fill(s.mask, float("-inf")) * (1 + 2**-36),
        a=nn.Linear(8, 4),
        mask=torch.tensor([True, False, False, False]),
    )
    assert double(before, copy.deepcopy(before)).grade is Grade.TESTED
    assert double(before, after).grade is Grade.REFUTED


def test_run_1_says_unknown_where_nothing_was_exercised():
    constant = Net(lambda s, x: torch.ones(x.shape[0], 2) * s.w, w=torch.ones(2))
    check = double(constant, copy.deepcopy(constant))
    assert check.grade is Grade.UNKNOWN
    assert "never changed" in check.summary
    assert check.figures["inputs"] > 0
    dead = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 2))
    nn.init.zeros_(dead[1].weight)
    assert double(dead, copy.deepcopy(dead)).grade is Grade.UNKNOWN
    asleep = Net(lambda s, x: x[:, :4] + s.a(x), a=mlp())
    nn.init.constant_(asleep.a[0].bias, -1e9)
    other = copy.deepcopy(asleep)
    nn.init.zeros_(other.a[2].weight)
    check = double(asleep, other)
    assert check.grade is Grade.UNKNOWN, "nobody has seen what reads the units"
    assert "0 % of the piecewise units" in check.summary
    assert check.figures["switched"] == 0
    broken = Net(lambda s, x: s.a(x) * float("nan"), a=nn.Linear(8, 2))
    check = double(broken, copy.deepcopy(broken))
    assert check.grade is Grade.UNKNOWN
    assert "nothing could be compared" in check.summary
    assert check_double(dead, dead, {}, DEFAULT_TABLE).grade is Grade.UNKNOWN
    raising = Net(lambda s, x: s.a(x[:, :7]), a=nn.Linear(8, 2))
    check = double(raising, copy.deepcopy(raising))
    assert check.grade is Grade.UNKNOWN
    assert check.summary.startswith("nothing could be compared: forward on ")
    assert "shapes cannot be multiplied" in check.summary


def test_run_1_runs_every_entry_point():
    before = Agent()
    after = copy.deepcopy(before)
    with torch.no_grad():
        after.critic[2].bias += 1e-6
    both = {name: ((torch.randn(4, 4),), {}) for name in ("get_logits", "get_value")}
    check = check_double(double_copy(before), double_copy(after), both, DEFAULT_TABLE)
    assert check.grade is Grade.REFUTED
    assert check.where.startswith("get_value on ")


def test_run_1_the_example_is_the_row_on_which_they_differ():
    before, after = pair(
        lambda s, x: s.a(x), lambda s, x: s.a(x) + (x[:, :1] == 123), a=nn.Linear(8, 4)
    )
    x = torch.randn(5, 8)
    x[3, 0] = 123
    check = double(before, after, x)
    assert check.grade is Grade.REFUTED
    assert check.arguments is not None
    (row,), _ = check.arguments
    assert row.shape == (1, 8)
    assert row[0, 0] == 123


def test_run_1_the_example_keeps_its_rows_where_one_row_can_not_be_run():
    def pairs(x: torch.Tensor) -> torch.Tensor:
        if len(x) < 2:
            raise ValueError("one row has no partner")
        return x

    before, after = pair(
        lambda s, x: s.a(pairs(x)),
        lambda s, x: s.a(pairs(x)) + (x[:, :1] == 123),
        a=nn.Linear(8, 4),
    )
    x = torch.randn(5, 8)
    x[3, 0] = 123
    check = double(before, after, x)
    assert check.grade is Grade.REFUTED
    (rows,), _ = check.arguments
    assert rows.shape == (5, 8)


def test_run_1_leaves_the_random_state_alone():
    model, state = mlp(), torch.get_rng_state()
    double(model, copy.deepcopy(model), torch.ones(4, 8))
    assert torch.equal(state, torch.get_rng_state())


def test_run_1_finds_the_same_whatever_the_users_random_state_is():
    before = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    after = copy.deepcopy(before)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        twins = double_copy(before), double_copy(after)
        with torch.no_grad():
            twins[1][3].bias += 1e-15
        checks = check_double(*twins, inputs(torch.ones(2, 4)), DEFAULT_TABLE)
        found.append(checks.figures)
    assert found[0]["worst"] > 0
    assert found[0] == found[1]


class Entropy(nn.Module):
    """Of a policy that is sure: tiny, from large numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.head(self.hidden(x).relu())
        return torch.distributions.Categorical(logits=logits).entropy()


def test_run_1_rounding_that_moves_the_old_model_as_far_refutes_nothing():
    """RUN-1: the same sums in another order, where few bits of them are left"""
    summaries = []
    for seed in range(5):
        torch.manual_seed(seed)
        net = Entropy(64)
        with torch.no_grad():
            net.head.weight *= 30
            net.head.bias += 100
        other = copy.deepcopy(net)
        order = torch.randperm(64)
        with torch.no_grad():
            for tensor in (other.hidden.weight, other.hidden.bias):
                tensor.copy_(tensor[order])
            other.head.weight.copy_(other.head.weight[:, order])
        inputs = {"forward": ((torch.randn(16, 4),), {})}
        found = check_double(double_copy(net), double_copy(other), inputs, DEFAULT_TABLE)
        assert found.grade is Grade.TESTED, found
        summaries.append(found.summary)
        with torch.no_grad():
            other.head.weight[0, 0] *= 1 + 1e-6
        found = check_double(double_copy(net), double_copy(other), inputs, DEFAULT_TABLE)
        assert found.grade is Grade.REFUTED
    told = r"^worst difference.*; \d+ probes? left out, on which rounding alone moves the old model"
    assert any(re.search(told, summary) for summary in summaries)


def test_the_parameters_of_a_shaken_model_are_four_units_in_the_last_place_off():
    model = nn.Linear(30, 20).double()
    with torch.no_grad():
        model.weight.fill_(1.0)
    model.register_parameter("places", nn.Parameter(torch.arange(3), requires_grad=False))
    moved = (shaken(model).weight - model.weight).detach()
    assert set(moved.flatten().tolist()) == {2.0**-50, -(2.0**-50)}
    assert (model.weight == 1).all()
    assert torch.equal(shaken(model).places, model.places)
    assert torch.equal(shaken(model).weight, shaken(model).weight)
