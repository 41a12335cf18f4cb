"""DEEPER-5 and DEEPER-6: what was inserted learns, and what was there learns as before."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import DeeperPass, RefusalError
from tests.passes.nets import Functional, Images, assert_same_bits, chain, grow

X = torch.randn(5, 8)


# -- DEEPER-5: what was inserted learns ----------------------------------------------------------


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_deeper_5_everything_new_learns(block: str):
    result = grow(chain(nn.ReLU(), width=16), "1", X, block=block)
    check = result.report.check("learning")
    assert check.grade is morphir.Grade.TESTED, check
    model = result.module
    before = {n: p.detach().clone() for n, p in model.named_parameters() if "deeper" in n}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (model(X) ** 2).sum().backward()
        optimizer.step()
    still = [n for n, p in model.named_parameters() if n in before and torch.equal(p, before[n])]
    assert not still


# -- DEEPER-6: what was there before learns as it would have ---------------------------------------


@pytest.mark.parametrize(
    ("between", "options"),
    [
        ([nn.ReLU()], {}),
        ([nn.ReLU6()], {}),
        ([nn.Hardtanh(-2.0, 0.5)], {}),
        ([nn.Threshold(0.0, 0.0)], {}),
        ([nn.ReLU()], {"activation": "leaky_relu"}),
        ([nn.Dropout(0.3), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(1), nn.Flatten(), nn.ReLU()], {}),
    ],
    ids=str,
)
def test_deeper_5_a_blend_that_what_follows_would_hide_is_refused(
    between: list[nn.Module], options: dict[str, Any]
):
    model = chain(*between)
    with pytest.raises(RefusalError, match="after '0' would not learn: wherever") as caught:
        grow(model, "0", X, block="parametric", **options)
    place, *_, other = caught.value.suggestions
    assert (place, other) == (f"at='{len(between)}'", "block='residual'")
    for suggestion in caught.value.suggestions:
        changed = {"at": "0", "block": "parametric", **options, **eval(f"dict({suggestion})")}
        if "identity" in suggestion:
            changed.pop("activation", None)
        learning = grow(model, changed.pop("at"), X, **changed).report.check("learning")
        assert learning is not None
        assert learning.grade is morphir.Grade.TESTED


@pytest.mark.parametrize(
    ("between", "options"),
    [
        ([nn.LeakyReLU()], {}),
        ([nn.ReLU()], {"activation": "tanh"}),
        ([nn.Hardtanh()], {"activation": "relu"}),
        ([nn.LayerNorm(8), nn.ReLU()], {}),
        ([nn.Unflatten(1, (2, 4)), nn.AvgPool1d(3, 1, 1), nn.Flatten(), nn.ReLU()], {}),
    ],
    ids=str,
)
def test_deeper_5_a_blend_that_shows_somewhere_is_not_refused(
    between: list[nn.Module], options: dict[str, Any]
):
    learning = grow(chain(*between), "0", X, block="parametric", **options).report.check("learning")
    assert learning is not None
    assert learning.grade is morphir.Grade.TESTED


def gradients(model: nn.Module, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """The gradients of a loss with respect to all parameters, and to the input."""
    leaf = x.clone().requires_grad_()
    model.zero_grad(set_to_none=True)
    torch.manual_seed(5)
    (model(leaf) ** 3).sum().backward()
    found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert leaf.grad is not None
    return {**found, "the input": leaf.grad}


def readable(value: object) -> str:
    """An identifier for a parameter of a test."""
    if isinstance(value, torch.Tensor):
        return "x".join(map(str, value.shape))
    return type(value).__name__ if isinstance(value, nn.Module) else str(value)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("model", "at", "block", "x"),
    [
        (chain(nn.ReLU()), "1", "identity", X),
        (chain(nn.BatchNorm1d(8), nn.ReLU6(), nn.Dropout(0.2)), "2", "identity", X),
        (chain(nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2)), "3", "identity", X),
        (Functional(F.relu), "a", "identity", X),
        (chain(nn.Tanh()), "1", "residual", X),
        (chain(nn.GELU()), "0", "residual", X),
        (chain(nn.SiLU()), "1", "parametric", X),
        (Images(), "stem", "identity", torch.randn(2, 3, 6, 6)),
        (Images(), "two", "residual", torch.randn(2, 3, 6, 6)),
    ],
    ids=readable,
)
def test_deeper_6_old_gradients_are_the_same_to_the_bit(
    model: nn.Module, at: str, block: str, x: torch.Tensor, training: bool
):
    grown = grow(model, at, x, block=block).module
    before = gradients(copy.deepcopy(model).train(training), x)
    after = gradients(grown.train(training), x)
    assert before.keys() < after.keys()
    assert all(torch.equal(gradient, after[name]) for name, gradient in before.items())


# -- growing again and again ---------------------------------------------------------------------


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
def test_growing_three_times_then_training_then_growing_again(block: str):
    model: nn.Module = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    optimizer: Any = torch.optim.Adam(model.parameters(), lr=1e-2)
    start = copy.deepcopy(model)

    def grow_and_carry() -> None:
        nonlocal model, optimizer
        result = morphir.transform(
            model, DeeperPass(at="1", block=block), optimizer=optimizer, example_inputs=(X,)
        )
        assert result.report.grade is morphir.Grade.PROVED
        model, optimizer = result.module, result.optimizer

    for _ in range(3):
        grow_and_carry()
    assert_same_bits(start, model, X)
    names = [name for name, _ in model.named_children()]
    assert names == ["0", "1", "1_deeper3", "1_deeper2", "1_deeper1", "2"]
    for _ in range(5):
        optimizer.zero_grad()
        (model(X) - 1).square().mean().backward()
        optimizer.step()
    trained = copy.deepcopy(model)
    assert not torch.equal(trained(X), start(X))
    grow_and_carry()
    assert_same_bits(trained, model, X)
    held = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(held) == len({*held}) == len([*model.parameters()])


def test_growing_inside_what_was_inserted():
    model = grow(chain(nn.ReLU()), "1", X).module
    model = grow(model, "1_deeper1", X).module
    model = grow(model, "1_deeper1.layer", X).module
    grow(model, "1_deeper1_deeper1", X, block="residual")
