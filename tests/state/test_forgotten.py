"""No optimizer is left with moments of a shape that is gone."""

import gc
import weakref

import pytest
import torch
from torch import nn

import morphir
from morphir import RecycleDormantPass, ResetPass, SparsifyPass
from morphir.errors import RefusalError
from morphir.passes import MorphismPass
from morphir.state.forgotten import check_none_forgotten
from morphir.state.transport import Transport
from tests.backend.widenings import UNEQUAL, changes, mlp, resize_of
from tests.specimens import fingerprint

X = torch.ones(3, 4)


def trained(net: nn.Module) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return optimizer


def test_state_17_one_that_was_not_given_is_found():
    """STATE-17"""
    net = mlp()
    given, other = trained(net), trained(net)
    check_none_forgotten([given, other], [net[0].weight], "0")
    message = r"Adam holds the state of parameters(.|\n)*every optimizer over the model"
    with pytest.raises(RefusalError, match=message):
        check_none_forgotten([given], [net[0].weight], "0")
    with pytest.raises(RefusalError, match="Adam holds the state"):
        Transport([given], net).check(resize_of(changes(UNEQUAL)[mlp]))
    del other
    Transport([given], net).check(resize_of(changes(UNEQUAL)[mlp]))


def test_state_17_what_has_no_state_or_other_parameters_is_no_danger():
    """STATE-17"""
    net, other = mlp(), mlp()
    fresh, foreign = torch.optim.Adam(net.parameters()), trained(other)
    check_none_forgotten([], [net[0].weight], "0")
    assert not fresh.state
    assert foreign.state


def test_state_17_what_only_waits_for_the_collector_is_no_danger():
    """STATE-17: a scheduler and its optimizer hold each other"""
    net = mlp()
    gc.disable()
    try:
        optimizer = trained(net)
        optimizer.cycle = torch.optim.lr_scheduler.StepLR(optimizer, 1)
        alive = weakref.ref(optimizer)
        del optimizer
        check_none_forgotten([], [net[0].weight], "0")
    finally:
        gc.enable()
    assert alive() is None


@pytest.mark.parametrize(
    "pass_",
    [ResetPass(at="2"), SparsifyPass(density=0.5), RecycleDormantPass((X,), at="0", threshold=9.0)],
)
def test_state_17_in_place_no_optimizer_goes_on_with_numbers_that_are_no_more(pass_: MorphismPass):
    """STATE-17"""
    net = mlp()
    optimizer = trained(net)
    before = fingerprint(net, [optimizer])
    message = "Adam holds the state of parameters whose numbers start anew, and was not given"
    with pytest.raises(RefusalError, match=message):
        morphir.apply(net, pass_, example_inputs=(X,), inplace=True)
    assert fingerprint(net, [optimizer]) == before
    morphir.apply(net, pass_, example_inputs=(X,))  # a copy has no optimizer
    morphir.apply(net, pass_, optimizer=optimizer, example_inputs=(X,), inplace=True)
