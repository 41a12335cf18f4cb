"""FUZZ-8: what an optimizer has of numbers that are others now."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import Optimizer

import morphir
from morphir import MaskGrowPass, PruneDormantPass, RecycleDormantPass, ResetPass, SparsifyPass
from morphir.ir import Certificate
from morphir.testing.fuzzing.carrying import states
from morphir.testing.fuzzing.optimizers import OPTIMIZERS, made
from morphir.testing.fuzzing.renewing import renewal_difference

X = torch.rand(6, 4, generator=torch.Generator().manual_seed(0)) + 0.1
PASSES = {
    "sparsify": SparsifyPass(0.4),
    "grow": MaskGrowPass(count=5, score="random"),
    "grow random numbers": MaskGrowPass(count=5, score="random", init="random"),
    "recycle": RecycleDormantPass((X,), threshold=0.0),
    "prune": PruneDormantPass(data=(X,), mode="mask"),
    "reset": ResetPass("2"),
}
Found = tuple[nn.Module, dict[str, Any], nn.Module, Optimizer, Certificate]


def applied(pass_: Any, name: str = "adam") -> Found:
    """A sparse net with a silent unit before and after a pass, with what an optimizer keeps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 3))
    model = morphir.apply(model, SparsifyPass(0.7), example_inputs=(X,))
    optimizer, masks = made(name, model), morphir.Masks(model)
    for _ in range(3):
        optimizer.zero_grad()
        model(X).square().mean().backward()
        masks.mask_gradients()
        optimizer.step()
        masks.mask_parameters()
    with torch.no_grad():
        model[0].weight[4] = model[0].bias[4] = 0
    old, kept = copy.deepcopy(model), states(model, optimizer)
    result = morphir.transform(model, pass_, optimizer=optimizer, example_inputs=(X,), inplace=True)
    return old, kept, model, optimizer, result.certificate


def difference(found: Found) -> str:
    old, kept, model, optimizer, certificate = found
    return renewal_difference((old, kept), (model, optimizer), certificate)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("what", PASSES)
def test_fuzz_8_every_optimizer_begins_anew_where_numbers_do(what: str, name: str):
    """FUZZ-8"""
    found = applied(PASSES[what], name)
    assert found[-1].renumbered
    assert difference(found) == ""


def _of(found: Found, name: str) -> dict[str, Any]:
    return found[3].state[found[2].get_parameter(name)]


def _kept(found: Found) -> None:
    _of(found, "0.weight").update(exp_avg=found[1]["0.weight"]["exp_avg"].clone())


def _moved(found: Found) -> None:
    numbers = _of(found, "0.weight")["exp_avg"].view(-1)
    numbers[numbers.abs().argmax()] *= 1.001


@pytest.mark.parametrize(
    ("what", "wrong", "complaint"),
    [
        ("sparsify", _kept, "exp_avg of 0.weight is neither"),
        ("sparsify", _moved, "exp_avg of 0.weight is neither"),
        ("recycle", _kept, "exp_avg of 0.weight is neither"),
        ("sparsify", lambda f: _of(f, "2.weight").pop("exp_avg_sq"), "exp_avg_sq of 2.weight is"),
        ("grow", lambda f: _of(f, "0.weight")["step"].add_(1), "step of 0.weight is neither"),
        ("reset", lambda f: _of(f, "2.bias").update(step=torch.tensor(3.0)), "step of 2.bias goes"),
    ],
)
def test_fuzz_8_what_was_kept_or_lost_is_named(
    what: str, wrong: Callable[[Found], object], complaint: str
):
    """FUZZ-8"""
    found = applied(PASSES[what])
    wrong(found)
    assert difference(found).startswith(complaint)
