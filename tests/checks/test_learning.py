"""LEARN-1: a parameter that is dead by construction is found, and one that only waits is not."""

from typing import Any

import pytest
import torch
from torch import nn

from morphir.checks import check_learning
from morphir.ir import Check, Grade, InsertionClaim
from tests.checks.pairs import Net, identity, zeros
from tests.checks.test_claims import Blend, Branch

INPUTS: Any = {"forward": ((torch.randn(16, 8),), {})}
CLAIM = InsertionClaim("DEEPER-1", "1", "2")


def learning(block: nn.Module, head: nn.Module | None = None, x: Any = None) -> Check:
    """The outcome for a block between a ReLU and a head."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), block, head or nn.Linear(8, 3))
    given = INPUTS if x is None else {"forward": ((x,), {})}
    state = {key: value.clone() for key, value in model.state_dict().items()}
    check = check_learning(model, [CLAIM], given)
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    return check


def test_learn_1_an_identity_block_learns_at_once():
    check = learning(nn.Sequential(identity(8), nn.ReLU()))
    assert check.grade is Grade.TESTED
    assert check.figures == {"parameters": 2.0, "late": 0.0}


@pytest.mark.parametrize("block", [Branch, Blend])
def test_learn_1_a_gated_block_learns_after_its_gate(block: type[nn.Module]):
    check = learning(block())
    assert check.grade is Grade.TESTED
    assert "after the first step" in check.summary or block is Blend


def test_learn_1_a_gated_block_under_a_zero_head_learns_after_both():
    assert learning(Branch(), zeros(8, 3)).grade is Grade.TESTED


class DeadBranch(nn.Module):
    """Both layers are zero, so neither weight ever moves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = zeros(8, 8, bias=False), zeros(8, 8, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(torch.relu(self.first(x)))


class Unused(nn.Module):
    """One parameter is on no path."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.spare = identity(8), nn.Parameter(torch.ones(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Detached(nn.Module):
    """The layer's result is cut off."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = identity(8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + (self.layer(x) - x).detach()


class Drowned(nn.Module):
    """A bias so low that the activation never opens."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), zeros(8, 8, bias=False)
        nn.init.constant_(self.first.bias, -1e6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(torch.relu(self.first(x)))


@pytest.mark.parametrize(
    ("block", "where"),
    [
        (DeadBranch, "2.first.weight"),
        (Unused, "2.spare"),
        (Detached, "2.layer.weight"),
        (Drowned, "2.first.weight"),
    ],
)
def test_learn_1_finds_what_is_dead_by_construction(block: type[nn.Module], where: str):
    check = learning(block())
    assert check.grade is Grade.REFUTED
    assert check.where.startswith(where)


class Waiting(nn.Module):
    """Both layers are zero and have biases: only the last bias ever moves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = zeros(8, 8), zeros(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(torch.relu(self.first(x)))


def test_learn_1_finds_a_block_in_which_only_a_bias_lives():
    check = learning(Waiting())
    assert check.grade is Grade.REFUTED
    assert check.where == "2.first.weight, 2.first.bias, 2.last.weight"
    assert "not even when trained alone" in check.summary


def test_learn_1_blames_no_block_for_its_surroundings():
    class Cut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x * 0)

    check = learning(nn.Sequential(identity(8), nn.ReLU()), Cut())
    assert check.grade is Grade.UNKNOWN
    assert check.summary.endswith("only when trained alone: asleep on these inputs")
    assert check.where == "2.0.weight, 2.0.bias"


class Aside(nn.Module):
    """The first head's features come from a part that is never asked for gradients."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            target = self.body(x)
        return self.head(x) + target[:, :3]


def test_learn_1_blames_no_block_in_a_part_without_gradients():
    """A target network inside the model trains no better without the block."""
    block = nn.Sequential(identity(8), nn.ReLU())
    model = Aside(nn.Sequential(nn.Linear(8, 8), nn.ReLU(), block))
    check = check_learning(model, [InsertionClaim("DEEPER-1", "body.1", "body.2")], INPUTS)
    assert check.grade is Grade.UNKNOWN
    assert check.summary.endswith("no path to an output carries a gradient")


class Narrow(nn.Module):
    """A branch of one unit."""

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.first, self.activation, self.last = nn.Linear(8, 1), activation, zeros(1, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.last(self.activation(self.first(x)))


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.Threshold(20.0, 0.0)])
@pytest.mark.parametrize("weight", [-1.0, 1.0])
def test_learn_1_a_unit_that_sleeps_on_the_inputs_is_not_dead(activation: nn.Module, weight: float):
    """What it reads is never negative, so a unit with negative weights waits for other inputs."""
    for rows in (1, 16):
        block = Narrow(activation)
        nn.init.constant_(block.first.weight, weight)
        nn.init.zeros_(block.first.bias)
        check = learning(block, x=torch.randn(rows, 8))
        sleeps = isinstance(activation, nn.Threshold) or (
            isinstance(activation, nn.ReLU) and weight < 0
        )
        assert check.grade is (Grade.UNKNOWN if sleeps else Grade.TESTED)


def test_learn_1_says_unknown_without_gradients_or_new_parameters():
    class NoGrad(nn.Module):
        @torch.no_grad()
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    frozen = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), identity(8), NoGrad()).requires_grad_(False)
    assert check_learning(frozen, [CLAIM], INPUTS).grade is Grade.UNKNOWN
    assert check_learning(nn.Sequential(nn.Linear(8, 8)), [], INPUTS).grade is Grade.UNKNOWN


class Spoils(nn.Module):
    """Changes in place what a ReLU returned, which that needs to run backwards."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x.mul_(2))


def test_learn_1_a_model_that_no_longer_runs_backwards_is_refuted():
    """After a pooling its result could be changed in place; after the new ReLU it can't."""
    before = nn.Sequential(nn.Linear(8, 8), nn.Sigmoid(), nn.Hardswish(), Spoils())
    after = nn.Sequential(*before[:3], nn.Sequential(identity(8), nn.ReLU()), Spoils())
    claim = InsertionClaim("DEEPER-1", "2", "3")
    check = check_learning(after, [claim], INPUTS, before)
    assert check.grade is Grade.REFUTED
    assert check.summary.startswith("unlike the old model, it can't be run backwards")
    assert check_learning(after, [claim], INPUTS).grade is Grade.UNKNOWN
    assert check_learning(after, [claim], INPUTS, after).grade is Grade.UNKNOWN


def test_learn_1_a_block_that_never_ran_is_not_said_to_be_without_a_path():
    """LEARN-1: an entry point had no inputs, so nothing is known about what only it reaches."""
    model = nn.Sequential(nn.Linear(8, 8))
    model[0].new = nn.Sequential(identity(8), nn.ReLU())
    check = check_learning(model, [InsertionClaim("DEEPER-1", "0", "0.new")], INPUTS)
    assert check.grade is Grade.UNKNOWN
    assert check.summary == "0 of 2 new parameters receive a gradient; the rest never ran"


class Copies(nn.Module):
    """A branch whose first copy has a parameter that nobody reads, or is detached."""

    def __init__(self, *, detached: bool) -> None:
        super().__init__()
        self.fresh, self.frozen = nn.Linear(8, 8), nn.Linear(8, 8).requires_grad_(False)
        self.fresh.unread = nn.Parameter(torch.ones(3))
        self.detached = detached

    def forward(self, y: torch.Tensor, *, x: torch.Tensor) -> torch.Tensor:
        fresh = self.fresh(x)
        return y + ((fresh.detach() if self.detached else fresh) - self.frozen(x))


@pytest.mark.parametrize("detached", [False, True])
def test_learn_1_a_copy_may_have_what_is_dead_in_what_it_is_a_copy_of(detached: bool):
    """LEARN-1: but not all of it may be; what is frozen is not asked."""
    model = Net(lambda s, x: s.head(s.branch(s.fc(x), x=x)), fc=nn.Linear(8, 8),
                branch=Copies(detached=detached), head=nn.Linear(8, 2))  # fmt: skip
    claim = InsertionClaim("INJECT-1", "fc", "branch", ("fc.weight", "fc.bias"))
    check = check_learning(model, [claim], INPUTS)
    if not detached:
        assert (check.grade, check.where) == (Grade.UNKNOWN, "branch.fresh.unread")
        assert check.figures["parameters"] == 3
    else:
        assert check.grade is Grade.REFUTED
        assert "branch.fresh.weight" in check.where
        assert "frozen" not in check.where
