"""STATE-20: what learns takes the place of what did, and undo takes that back."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from morphir.backend.surgery import Surgery
from morphir.errors import RefusalError
from morphir.frontend import record
from morphir.ir import Injection, Rewriter
from morphir.state.succession import Succession
from tests.state.test_leaving import shown
from tests.state.test_optimizer import HOLDING, OPTIMIZERS

SPEC = {"kind": "branch", "seed": 1}


def made(name: str, **options: Any) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = getattr(torch.optim, name)(net.named_parameters(), **options)
    net(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    return net, optimizer


def injected(net: nn.Module, *anchors: str) -> list[Injection]:
    """The edits of a model in which the branches are, and nothing else was done."""
    rewriter = Rewriter(record(net, example_inputs=(torch.zeros(2, 3),)).program)
    edits = [rewriter.inject(anchor, law="INJECT-1", spec=SPEC) for anchor in anchors]
    Surgery(net).apply(edits)
    return edits


@pytest.mark.parametrize("name", HOLDING)
def test_state_20_every_parameter_takes_the_place_of_its_own(name: str):
    net, optimizer = made(name, **OPTIMIZERS[name])
    (group,) = optimizer.param_groups
    before, grads = shown(optimizer), [p.grad for p in net.parameters()]
    kept = {id(p): optimizer.state[p] for p in (*net[0].parameters(), *net[2].parameters())}
    old = [*net[1].parameters()]
    edits = injected(net, "1")
    succession = Succession([optimizer], net)
    succession.carry_out(edits)
    assert group["param_names"] == [
        "0.weight", "0.bias", "1.injected1.fresh.weight", "1.injected1.fresh.bias",
        "2.weight", "2.bias",
    ]  # fmt: skip
    held = {id(p) for p in group["params"]}
    assert not held & {id(p) for p in old}
    assert all(optimizer.state[p] is kept[id(p)] for p in group["params"] if id(p) in kept)
    assert all(not p.requires_grad and p.grad is None for p in old)
    assert succession.notes == [
        f"2 new parameters joined group 0 of {name}",
        f"2 parameters left group 0 of {name}, with the state",
    ]
    succession.undo()
    assert shown(optimizer) == before
    assert [p.grad for n, p in net.named_parameters() if "injected" not in n] == grads
    assert all(p.requires_grad for p in old)


def test_state_20_in_the_group_that_held_it():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    groups = [{"params": [net[1].weight], "lr": 0.5}, {"params": [net[1].bias], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups)
    succession = Succession([optimizer], net)
    succession.carry_out(injected(net, "1"))
    fresh = net.get_submodule("1.injected1.fresh")
    assert [[*map(id, g["params"])] for g in optimizer.param_groups] == [
        [id(fresh.weight)], [id(fresh.bias)],
    ]  # fmt: skip


def test_state_20_several_at_once_are_taken_back():
    net, optimizer = made("Adam")
    before = shown(optimizer)
    succession = Succession([optimizer], net)
    succession.carry_out(injected(net, "0", "2"))
    assert len(optimizer.param_groups[0]["params"]) == 6
    succession.undo()
    assert shown(optimizer) == before


def test_state_20_what_is_frozen_stays_so():
    """A target: nothing of it learns, before and after, and no optimizer is asked."""
    net, optimizer = made("Adam")
    target = copy.deepcopy(net).requires_grad_(False)
    before = shown(optimizer)
    succession = Succession([optimizer], target)
    succession.carry_out(injected(target, ""))
    assert not any(p.requires_grad for p in target.parameters())
    assert shown(optimizer) == before
    assert succession.notes == ["6 new parameters are frozen, as the layers they follow"]


def test_state_20_a_part_of_it_may_be_frozen():
    net, optimizer = made("Adam")
    net[1].bias.requires_grad_(False)
    succession = Succession([optimizer], net)
    succession.carry_out(injected(net, "1"))
    fresh = net.get_submodule("1.injected1.fresh")
    assert (fresh.weight.requires_grad, fresh.bias.requires_grad) == (True, False)
    succession.undo()
    assert not net[1].bias.requires_grad


def test_an_optimizer_that_takes_nothing_new_refuses():
    net = nn.Sequential(nn.Linear(3, 2))
    optimizer = torch.optim.LBFGS(net.parameters())
    succession = Succession([optimizer], net)
    edits = injected(net, "0")
    with pytest.raises(RefusalError, match="LBFGS"):
        succession.carry_out(edits)
    succession.undo()
    assert [*map(id, optimizer.param_groups[0]["params"])] == [id(net[0].weight), id(net[0].bias)]
