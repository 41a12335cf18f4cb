"""Optimizers of random lives: each keeps something for each number, and all of it has a kind."""

import pytest
import torch
from torch import nn

from morphir.testing.fuzzing.optimizers import OPTIMIZERS, kind_of, made, start_of


def used(name: str, gradient: float = 1.0) -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Linear(3, 2)
    optimizer = made(name, model)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_optimizer_has_two_groups_and_kinds_for_its_state(name: str):
    model, optimizer = used(name)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    state = optimizer.state[model.weight]
    entries = [k for k, v in state.items() if isinstance(v, torch.Tensor) and v.dim()]
    unknown = [entry for entry in entries if kind_of(optimizer, entry) is None]
    assert unknown == (["ax"] if name == "asgd" else [])
    assert entries or name == "sgd"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_gradient_of_0_leaves_what_is_there_at_first(name: str):
    _, optimizer = used(name, 0.0)
    for group in optimizer.param_groups:
        state = optimizer.state[group["params"][0]]
        for entry in state:
            if kind_of(optimizer, entry) is not None:
                start = torch.full_like(state[entry], start_of(optimizer, group, entry))
                torch.testing.assert_close(state[entry], start, rtol=0, atol=1e-7)  # Adamax's eps


def test_a_buffer_of_momentum_is_not_the_same_everywhere():
    assert kind_of(used("sgd-momentum")[1], "momentum_buffer") == "gradient"
    assert kind_of(used("rmsprop")[1], "momentum_buffer") == "update"
