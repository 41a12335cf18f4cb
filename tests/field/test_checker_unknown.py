"""What was not exercised is UNKNOWN, and neither models nor settings are changed."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import morphir
from morphir import Grade, WiderPass
from morphir.field import check_field
from tests.field.nets import X, checked, mlp
from tests.specimens import fingerprint


class Constant(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x * 0)


class Deciding(nn.Module):
    def __init__(self, decide: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.layer, self.decide = nn.Linear(4, 4), decide

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.layer(x)
        return y * 2 if self.decide(y) else y


def zeros() -> nn.Module:
    net = mlp()
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    return net


def spoiled(number: float) -> nn.Module:
    net = mlp()
    with torch.no_grad():
        net[2].weight[1, 1] = number
    return net


def complex_net() -> nn.Module:
    net = mlp()
    net.register_parameter("phase", nn.Parameter(torch.randn(3, dtype=torch.complex64)))
    return net


NOT_TESTED: list[tuple[Callable[[], nn.Module], torch.Tensor, str]] = [
    (lambda: spoiled(float("nan")), X, "not a number"),
    (lambda: spoiled(float("inf")), X, "infinite"),
    (lambda: Constant(mlp(nn.Tanh)), X, "the outputs never changed"),
    (lambda: Constant(mlp(nn.Tanh)), X[:3], "the outputs never changed"),
    (lambda: Constant(nn.Linear(4, 4)), X[0], "the outputs never changed"),
    (zeros, X, "the outputs never changed"),
    (zeros, X[0], "the outputs never changed"),
    (mlp, X[:0], "the outputs never changed"),
    (lambda: Deciding(lambda y: y.sum() > 0), X, "Python decides by a number"),
    (lambda: Deciding(lambda y: y[0, 0].item() > 0), X, "Python reads a number"),
    (lambda: Deciding(lambda y: (y > 0).all()), X, "Python decides by a number"),
    (lambda: Deciding(lambda y: y.tolist()), X, "not supported"),
    (complex_net, X, "complex"),
    (lambda: nn.Sequential(nn.Linear(4, 4), nn.Embedding(9, 4)), X, "not run"),
    (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), X, "aten.linalg_matrix_exp"),
]


@pytest.mark.parametrize(("make", "x", "why"), NOT_TESTED)
def test_what_was_not_exercised_is_unknown(
    make: Callable[[], nn.Module], x: torch.Tensor, why: str
):
    model = make().eval()
    found = checked(model, copy.deepcopy(model), x)
    assert (found.name, found.grade) == ("field", Grade.UNKNOWN)
    assert why in found.summary
    assert "differs" not in found.figures


def test_without_inputs_nothing_is_known():
    found = check_field(mlp(), mlp(), {})
    assert (found.name, found.grade) == ("field", Grade.UNKNOWN)
    assert "no inputs" in found.summary


def test_what_stands_in_the_way_is_named_with_its_module():
    model = nn.Sequential(nn.Linear(4, 4), Deciding(lambda y: y.sum() > 0))
    found = checked(model, model, X)
    assert found.where == "forward: 1"
    assert found.summary == "not run: Python decides by a number that depends on the input"


def test_an_error_of_the_model_is_told():
    def fail(*_: Any) -> None:
        raise ValueError("no such thing")

    model = mlp()
    model[3].register_forward_pre_hook(fail)
    found = checked(model, model, X)
    assert found.grade is Grade.UNKNOWN
    assert found.summary == "not run: ValueError('no such thing')"
    assert found.where == "forward: 3"


def settings() -> list[Any]:
    return [
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled,
        torch.distributions.Distribution._validate_args,
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_rng_state().tolist(),
        random.getstate(),
    ]


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("enabled", [False, True])
def test_neither_the_models_nor_the_settings_are_changed(fails: bool, enabled: bool):
    def fail(*_: Any) -> None:
        raise ValueError("no such thing")

    old = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).train()
    old[0].register_forward_hook(lambda *_: None)
    new = morphir.apply(old, WiderPass(at="0", width=11), example_inputs=(X,))
    if fails:
        new[3].register_forward_pre_hook(fail)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in old.modules()]
    prints, x = [fingerprint(model) for model in (old, new)], X.clone()
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(enabled)
    try:
        before = settings()
        found = checked(old, new, x)
        assert settings() == before
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    assert found.grade is (Grade.UNKNOWN if fails else Grade.TESTED)
    assert [fingerprint(model) for model in (old, new)] == prints
    assert all(module.training for model in (old, new) for module in model.modules())
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in old.modules()] == hooks
    assert all(type(each) is nn.Parameter for each in old.parameters())
    assert torch.equal(x, X)
