"""Tensors of residues stand for floats, and what they are computed by is looked up by name."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.field.kernels import KERNELS
from morphir.field.modular import Unsupported
from morphir.field.residues import Kernels, Residues, Run
from tests.field.lifted import FIELD, bare, call, lift, new_run, whole

X = whole(3, 4)


def test_they_say_that_they_are_floats():
    run = new_run()
    tensor = lift(X.half().t(), run)
    assert isinstance(tensor, torch.Tensor)
    assert tensor.dtype == torch.float16
    assert tensor.is_floating_point()
    assert tensor.shape == (4, 3)
    assert tensor.stride() == tensor.residues.stride()
    assert len(tensor) == 4
    assert "Residues" in repr(tensor)


def test_what_only_moves_keeps_its_dtype():
    tensor = lift(X.half(), new_run())
    for moved in (tensor.t(), tensor.reshape(-1), torch.cat([tensor, tensor]), tensor[0]):
        assert moved.dtype == torch.float16
    assert torch.cat([tensor, lift(X.double(), tensor.run)]).dtype == torch.float64


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.add_(x.clone(), alpha=3),
        lambda x: torch.addcmul(x, x, x, value=2),
        lambda x: torch.lerp(x, x * 2, 3.0),
        lambda x: torch.cov(x, correction=2),
        lambda x: torch.addr(x, x[:, 0], x[0], beta=2, alpha=3),
        lambda x: x.fill_diagonal_(7),
    ],
)
@pytest.mark.parametrize("inference", [False, True])
def test_field_1_arguments_that_have_a_name_count(function: Any, inference: bool):
    """FIELD-1"""
    x = X * 4  # so that floats round no mean of four
    found = call(function, x.clone(), inference=inference)
    assert torch.equal(found, FIELD.lift(function(x.double())))


@pytest.mark.parametrize("inference", [False, True])
def test_what_is_written_into_is_what_is_returned(inference: bool):
    tensor = lift(X, new_run())
    with torch.inference_mode(inference):
        for write in (
            lambda x: x.copy_(x * 2),
            lambda x: x.add_(1),
            lambda x: x.masked_fill_(torch.tensor([True, False, True, True]), 3),
            lambda x: torch.Tensor.t_(x),
        ):
            assert write(tensor) is tensor
    with pytest.raises(Unsupported, match="set_"):
        tensor.set_(lift(X, tensor.run))


def test_whole_numbers_do_not_say_what_floats_they_meet():
    run, residues = new_run(), FIELD.lift(X)
    assert run.wrap(residues).dtype == torch.get_default_dtype()
    assert run.wrap(residues, torch.tensor(1)).dtype == torch.get_default_dtype()
    assert run.wrap(residues, torch.tensor(1), X.half(), 2).dtype == torch.float16
    assert run.wrap(residues, X.half(), X.double()).dtype == torch.float64


def test_they_compute_without_the_mode_as_well():
    tensor = lift(X, new_run())
    assert torch.equal(bare(tensor @ tensor.t() + 1), FIELD.lift(X @ X.t() + 1))


def test_field_1_what_a_slice_is_given_is_seen_in_the_whole_and_in_other_views():
    def write(x: torch.Tensor) -> list[torch.Tensor]:
        first, last = x[0], x[:, -1]
        first[1:3] = 7.5
        last += 1
        return [x, first, last, x.t()]

    assert all(map(torch.equal, call(write, X), map(FIELD.lift, write(X.clone()))))


def test_field_1_a_view_in_place_shows_the_same_memory():
    def turn(x: torch.Tensor) -> list[torch.Tensor]:
        view = x.view(4, 3)
        x.t_().unsqueeze_(1).squeeze_(1).transpose_(0, 1)
        x[0, 2] = 11
        return [x, view]

    assert all(map(torch.equal, call(turn, X), map(FIELD.lift, turn(X.clone()))))


def test_numbers_that_depend_on_nothing_are_computed_as_always_and_lifted_where_they_meet():
    def positions(x: torch.Tensor) -> torch.Tensor:
        angles = torch.arange(4.0).div(7).cos()
        assert type(angles) is torch.Tensor
        return x * angles

    found = call(positions, X)
    assert torch.equal(
        found, FIELD.lift(X) * FIELD.lift(torch.arange(4.0).div(7).cos()) % FIELD.prime
    )


def test_infinities_are_one_number_and_its_negative_and_nan_is_refused():
    infinite = torch.tensor([float("inf"), -float("inf"), 1.0, float("inf")])
    lifted = new_run().lift(infinite)
    assert lifted[0] == lifted[3] == (FIELD.prime - lifted[1]) % FIELD.prime
    assert lifted[2] == 1
    assert torch.equal(call(lambda x: x * 0 + infinite, X[0])[2:3], torch.tensor([1]))
    for nan in (torch.tensor(float("nan")), float("nan"), complex(1, 2)):
        with pytest.raises(Unsupported, match=r"not a number|complex"):
            new_run().value(nan)


def test_field_6_a_run_that_begins_again_has_the_same_functions_and_draws():
    run = new_run()
    found = []
    for key in ("a", "b", "a"):
        run.begin(key)
        found.append((run.draw((3,)), run.draw((3,)), run.functions.value("tanh", torch.arange(3))))
    assert all(map(torch.equal, found[0], found[2]))
    assert not any(map(torch.equal, found[0], found[1]))
    assert not torch.equal(found[0][0], found[0][1])


def test_field_6_what_is_drawn_is_on_the_device_that_is_asked_for():
    assert new_run().draw((3,), torch.device("meta")).device.type == "meta"


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (torch.linalg.inv, "aten.linalg_inv_ex.default"),
        (lambda x: torch.polygamma(1, x), "aten.polygamma.default"),
        (lambda x: x.cummax(0), "aten.cummax.default"),
        (lambda x: [2] if x[0, 0] else [3], "Python reads a number"),
        (lambda x: [1] * int(x[0, 0]), "Python reads a number"),
        (lambda x: torch.add(x, 1, out=x), "add with out="),
        (lambda x: torch.sort(x, out=(x, torch.arange(4))), "sort with out="),
        (lambda x: torch.arange(4.0).mul_(x[0]), "writes into a tensor that the model made itself"),
        (lambda x: x.clone().resize_(2, 2), "resize_"),
        (lambda x: x[:1].add_(x), "changes a shape in place"),
    ],
)
def test_what_has_no_meaning_is_refused_by_name(function: Any, why: str):
    with pytest.raises(Unsupported) as raised:
        call(function, whole(4, 4))
    assert why in str(raised.value)


@pytest.mark.parametrize("read", [lambda x: x.tolist(), lambda x: x.numpy(), lambda x: x.item()])
def test_python_has_no_numbers_to_read(read: Any):
    with pytest.raises(Exception, match=r"not supported|Can't call|Python reads|numpy"):
        call(read, torch.ones(()))


def test_an_op_without_a_kernel_is_taken_apart_as_torch_does():
    kernels = dict(KERNELS.computed)
    for name in ("silu", "hardswish", "native_layer_norm"):
        del kernels[name]
    without = Run(FIELD, "square", Kernels(KERNELS.makers, kernels, KERNELS.moving))
    for function in (F.silu, lambda x: F.layer_norm(x, (4,))):
        assert torch.equal(call(function, X, run=without), call(function, X))


def test_layers_run_as_they_are():
    layer = nn.Linear(4, 2)
    run = new_run()
    twin = copy.deepcopy(layer)
    for name, parameter in layer.named_parameters():
        del twin._parameters[name]
        setattr(twin, name, lift(parameter.detach(), run))
    with torch.no_grad(), run:
        found = twin(lift(X, run))
    weight, bias = (FIELD.lift(each) for each in (layer.weight, layer.bias))
    exact = FIELD.bilinear(torch.mm, FIELD.lift(X), weight.t(), 4)
    assert isinstance(found, Residues)
    assert torch.equal(found.residues, (exact + bias) % FIELD.prime)


def test_every_kernel_is_in_one_table_only():
    assert not KERNELS.makers.keys() & KERNELS.computed.keys()
    assert not KERNELS.moving & (KERNELS.makers.keys() | KERNELS.computed.keys())
