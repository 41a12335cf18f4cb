"""SHALLOWER-4: what goes leaves the optimizers, and comes back with undo."""

import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.state.leaving import Leaving
from tests.state.test_optimizer import HOLDING, OPTIMIZERS


def made(name: str, **options) -> tuple[nn.Sequential, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = getattr(torch.optim, name)(net.named_parameters(), **options)
    net(torch.randn(4, 3)).square().sum().backward()
    optimizer.step()
    return net, optimizer


def shown(optimizer: torch.optim.Optimizer) -> list:
    groups = [
        ([id(p) for p in g["params"]], g.get("param_names"), id(g["params"]))
        for g in optimizer.param_groups
    ]
    state = [(id(p), {k: str(v) for k, v in each.items()}) for p, each in optimizer.state.items()]
    return [groups, state]


def middle(net: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in net.named_parameters() if name.startswith("1.")}


@pytest.mark.parametrize("name", HOLDING)
def test_shallower_4_what_goes_leaves_with_its_state(name: str):
    net, optimizer = made(name, **OPTIMIZERS[name])
    gone = middle(net)
    (group,) = optimizer.param_groups
    before, kept = shown(optimizer), {id(p): optimizer.state[p] for p in net.parameters()}
    leaving = Leaving([optimizer])
    leaving.leave(gone)
    assert group["param_names"] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [*group["params"]] == [*net[0].parameters(), *net[2].parameters()]
    assert [id(p) for p in optimizer.state] == [id(p) for p in group["params"]]
    assert all(optimizer.state[p] is kept[id(p)] for p in group["params"])
    assert leaving.notes == [f"2 parameters left group 0 of {name}, with the state"]
    leaving.undo()
    assert shown(optimizer) == before
    assert leaving.notes == []


@pytest.mark.parametrize("name", ["Adam", "SGD", "RMSprop"])
@pytest.mark.parametrize("foreach", [False, True])
def test_a_group_that_is_left_empty_stays_and_can_be_stepped(name: str, foreach: bool):
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    groups = [{"params": [*each.parameters()]} for each in net]
    optimizer = getattr(torch.optim, name)(groups, lr=0.1, foreach=foreach)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1)
    leaving = Leaving([optimizer])
    leaving.leave(dict(net[0].named_parameters()))
    assert [len(group["params"]) for group in optimizer.param_groups] == [0, 2]
    net(torch.randn(4, 3)).sum().backward()
    optimizer.step()
    scheduler.step()
    assert optimizer.state_dict()["param_groups"][0]["params"] == []


def test_an_optimizer_that_does_not_hold_it_is_not_touched():
    _, optimizer = made("Adam")
    before = shown(optimizer)
    leaving = Leaving([optimizer])
    leaving.leave(dict(nn.Linear(2, 2).named_parameters()))
    assert shown(optimizer) == before
    assert leaving.notes == []


def test_an_optimizer_with_a_list_of_its_own_is_refused():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.LBFGS(net.parameters())
    before = shown(optimizer)
    with pytest.raises(
        RefusalError, match="LBFGS keeps parameters in a list of its own, '_params'"
    ):
        Leaving([optimizer]).leave(dict(net[0].named_parameters()))
    assert shown(optimizer) == before
