"""CERT-5 on mutants: with one number of the emitted model changed the certificate fails."""

import copy
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade
from morphir.checks import check_certificate, check_double, double_copy
from morphir.frontend import record
from morphir.ops import DEFAULT_TABLE

X = torch.randn(6, 8)


def ulp(flat: torch.Tensor, index: int) -> None:
    flat[index] = torch.nextafter(flat[index], flat.new_tensor(99.0))


def down(flat: torch.Tensor, index: int) -> None:
    flat[index] = torch.nextafter(flat[index], flat.new_tensor(-99.0))


def double(flat: torch.Tensor, index: int) -> None:
    flat[index] *= 2


def negate(flat: torch.Tensor, index: int) -> None:
    flat[index] *= -1


def clear(flat: torch.Tensor, index: int) -> None:
    flat[index] = 0


def swap(flat: torch.Tensor, index: int) -> None:
    other = (index + 1) % flat.numel()
    flat[index], flat[other] = flat[other].clone(), flat[index].clone()


def spoil(flat: torch.Tensor, index: int) -> None:
    flat[index] = float("nan")


Mutation = Callable[[torch.Tensor, int], None]
MUTATIONS: list[Mutation] = [ulp, ulp, ulp, down, double, negate, clear, swap, spoil]


def mlp(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), activation, nn.BatchNorm1d(8), nn.Linear(8, 4))


def certificate_holds(before: nn.Module, after: nn.Module, certificate: Any) -> bool:
    old, new = (record(m, example_inputs=(X,)).program for m in (before, after))
    return check_certificate(old, new, certificate, DEFAULT_TABLE).grade is Grade.PROVED


@pytest.mark.parametrize("block", ["identity", "residual", "parametric"])
@pytest.mark.parametrize("seed", range(2))
def test_cert_5_no_mutant_survives(block: str, seed: int):
    """Every one is killed; a zero-gated branch's first layer may hold any finite numbers."""
    torch.manual_seed(seed)
    rng = random.Random(seed)
    before = mlp(nn.ReLU() if block == "identity" else nn.Tanh())
    result = morphir.transform(before, DeeperPass(at="1", block=block), example_inputs=(X,))
    assert certificate_holds(before, result.module, result.certificate)
    counts: Counter[str] = Counter()
    while counts.total() < 60:
        after = copy.deepcopy(result.module)
        named = [*after.named_parameters(), *after.named_buffers()]
        name, tensor = rng.choice([(n, t) for n, t in named if t.is_floating_point()])
        with torch.no_grad():
            rng.choice(MUTATIONS)(tensor.view(-1), rng.randrange(tensor.numel()))
        if torch.equal(tensor, result.module.state_dict()[name]):
            continue  # 2 * 0, or two equal numbers swapped
        is_right = ".first." in name and bool(tensor.isfinite().all())
        assert certificate_holds(before, after, result.certificate) == is_right, name
        counts["right" if is_right else "killed"] += 1
    assert counts["killed"] > 30


def test_run_1_kills_nine_of_ten_changes_by_one_ulp():
    """What the runs alone would find."""
    rng, before = random.Random(0), mlp(nn.ReLU())
    result = morphir.transform(before, DeeperPass(at="1"), example_inputs=(X,))
    found = 0
    for _ in range(40):
        after = copy.deepcopy(result.module)
        tensor = rng.choice([after.get_parameter(n) for n in ("0.weight", "0.bias", "3.weight")])
        with torch.no_grad():
            ulp(tensor.view(-1), rng.randrange(tensor.numel()))
        inputs = {"forward": ((X,), {})}
        check = check_double(double_copy(before), double_copy(after), inputs, DEFAULT_TABLE)
        found += check.grade is Grade.REFUTED
    assert found >= 36
