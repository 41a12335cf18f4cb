"""PRUNE-5: units that start anew are awake, and where they are not it is said."""

from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import PruneDormantPass, WiderPass
from morphir.passes.anew import biases_in

DEAD = [2, 7, 11]


def asleep(*between: nn.Module, seed: int = 0) -> nn.Sequential:
    """A net three units of which are off."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 16), *between, nn.ReLU(), nn.Linear(16, 2))
    with torch.no_grad():
        model[len(between)].bias[DEAD] = -8
    return model


def reseeded(model: nn.Module, x: torch.Tensor, **options: Any) -> morphir.TransformResult:
    pass_ = PruneDormantPass(at="0", data=(x,), mode="reseed", **options)
    return morphir.transform(model, pass_, example_inputs=(x,))


@pytest.mark.parametrize("norm", [False, True])
def test_prune_5_what_starts_anew_is_awake(norm: bool):
    """PRUNE-5: of 60 units over 20 seeds each fires on one of 256 rows"""
    for seed in range(20):
        model = asleep(*[nn.BatchNorm1d(16)] * norm, seed=seed)
        x = torch.randn(256, 5)
        result = reseeded(model, x, seed=seed)
        hidden = result.module.eval()[:-1](x)
        assert (hidden[:, DEAD] > 0).any(0).all()
        assert "dormant on the data still" not in str(result.report)


def test_prune_5_biases_are_zero_and_scales_those_of_the_units_that_stay():
    """PRUNE-5, BACK-10"""
    model = asleep(nn.BatchNorm1d(16))
    stay = [unit for unit in range(16) if unit not in DEAD]
    with torch.no_grad():
        model[1].weight[:] = torch.linspace(0.5, 2, 16)
        model[1].weight[DEAD] = 0.01
    new = reseeded(model, torch.randn(256, 5)).module
    assert not new[0].bias[DEAD].any()
    assert not new[1].bias[DEAD].any()
    scale = model[1].weight[stay].mean().expand(3)
    torch.testing.assert_close(new[1].weight[DEAD], scale, rtol=1e-6, atol=0)


def test_prune_5_how_many_are_dormant_still_is_said():
    """PRUNE-5: all data are positive and all weights negative, so a new unit has no chance"""
    model = asleep()
    with torch.no_grad():
        model[0].weight[:] = -1 - torch.rand(16, 5) / 100
        model[0].bias[:] = 20
        model[0].bias[DEAD] = -8
    x = torch.rand(64, 5)
    result = reseeded(model, x)
    new = result.module[:2](x)
    assert not new[:, DEAD].any()
    assert (
        "3 of the 3 new units of 0.weight are dormant on the data still: 2, 7, 11"
        in str(result.report)
    )  # fmt: skip


def test_prune_5_what_is_measured_is_what_is_emitted(monkeypatch: Any):
    """PRUNE-5: the scores are those of the numbers that the backend draws"""
    model, x = asleep(seed=1), torch.randn(64, 5)
    seen: dict[str, torch.Tensor] = {}
    measured = morphir.passes.anew.values_on

    def watched(program: Any, data: Any, changed: Any = None) -> Any:
        seen.update(changed or {})
        return measured(program, data, changed)

    monkeypatch.setattr(morphir.passes.anew, "values_on", watched)
    new = reseeded(model, x).module.state_dict()
    assert seen.keys() == {"0.weight", "0.bias", "2.weight"}
    for name, tensor in seen.items():
        assert torch.equal(tensor, new[name])


def test_wider_2_a_dead_unit_has_no_say_in_the_biases_of_fresh_ones():
    """WIDER-2"""
    wider = WiderPass(at="0", width=20, init="fresh")
    new = morphir.apply(asleep(), wider, example_inputs=(torch.randn(4, 5),))
    assert not new[0].bias[16:].any()


def test_of_a_unit_that_starts_anew_no_lineage_is_longer():
    model, x = asleep(), torch.randn(64, 5)
    once = reseeded(model, x)
    with torch.no_grad():
        once.module[0].bias[DEAD] = -8
    again = reseeded(once.module, x, seed=1)
    assert [step.law for step in again.lineage.steps] == ["PRUNE-3"]
    fresh = asleep()
    before = {key: tensor.clone() for key, tensor in fresh.state_dict().items()}
    morphir.replay(morphir.Lineage.from_json(again.lineage.to_json()), fresh)
    for key, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, before[key])


def test_biases_are_what_calls_take_as_their_bias():
    model = asleep(nn.BatchNorm1d(16))
    program = morphir.trace(model, example_inputs=(torch.randn(4, 5),))
    names = ["0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "3.bias"]
    assert biases_in(program, names) == ["0.bias", "1.bias", "3.bias"]
