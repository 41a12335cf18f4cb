"""REDO-1: which units start anew, and with what."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import Grade, PruneDormantPass, RecycleDormantPass, RefusalError
from morphir.passes import prune
from morphir.passes.anew import numbers_anew
from morphir.testing.snapshots import difference, snapshot
from tests.passes.masked import assert_masked, masks_of
from tests.passes.silent import (
    WIDTHS,
    assert_fresh_exactly,
    batch,
    dormant,
    learned,
    net,
    scores,
    states,
)

UNITS = tuple(st.sets(st.integers(0, width - 1), max_size=width - 2) for width in WIDTHS)


def places_of(model: nn.Module, units: list[set[int]]) -> dict[str, torch.Tensor]:
    """Where the numbers of units are: their rows, their biases, and the columns that read them."""
    found = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    for layer, following, own in ((0, 2, units[0]), (2, 4, units[1])):
        found[f"{layer}.weight"][[*own]] = True
        found[f"{layer}.bias"][[*own]] = True
        found[f"{following}.weight"][:, [*own]] = True
    return found


def random_net(seed: int) -> nn.Module:
    """Units of all sizes, so that some are nearly dormant."""
    model = net((set(), set()), None, seed)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            scale = torch.rand(len(layer.bias)) ** 4
            layer.weight.mul_(scale[:, None])
            layer.bias.mul_(scale)
    return model


@settings(max_examples=40)
@given(seed=st.integers(0, 999), threshold=st.sampled_from([0.0, 0.025, 0.1, 0.5, 0.9]))
def test_redo_1_the_dormant_units_are_those_of_a_literal_loop(seed: int, threshold: float):
    """REDO-1, PRUNE-2: and of all other numbers each is what it was, to the bit"""
    model, x = random_net(seed), batch(seed)
    found = scores(model, x)
    assume(all(abs(s - threshold) > 1e-5 for each in found for s in each))  # float32 can tell
    units = dormant(model, x, threshold)
    pass_ = RecycleDormantPass((x,), threshold=threshold, seed=seed)
    result = morphir.transform(model, pass_, example_inputs=(x,))
    for name, places in places_of(model, units).items():
        old, new = (each.get_parameter(name).detach() for each in (model, result.module))
        assert torch.equal(new[~places], old[~places]), name
        if name != "4.weight" and name.endswith("weight"):
            rows = [*units[0 if name == "0.weight" else 1]]
            columns = [] if name == "0.weight" else [*units[0]]
            kept = torch.ones(old.shape[1], dtype=torch.bool)
            kept[columns] = False
            assert bool((new[rows][:, kept] != old[rows][:, kept]).all()), name
            assert not new[:, columns].any(), name
    if not any(units):
        assert "there is no unit that does nothing" in str(result.report)


@settings(max_examples=30)
@given(silent=st.tuples(*UNITS), seed=st.integers(0, 99), density=st.sampled_from([None, 0.5]))
def test_redo_1_silent_units_start_anew_and_nothing_changes_on_the_data(
    silent: tuple[set[int], set[int]], seed: int, density: float | None
):
    """REDO-1, STATE-19: masks stay, and moments are fresh where numbers are, 0 in place of 0 too"""
    model, x = net(silent, density, seed), batch(seed)
    optimizer, before = learned(model, seed)
    units = dormant(model, x, 0.0)
    pass_ = RecycleDormantPass((x,), threshold=0.0, seed=seed)
    result = morphir.transform(model, pass_, optimizer=optimizer, example_inputs=(x,))
    torch.testing.assert_close(result.module(x), model(x), rtol=1e-6, atol=1e-6)
    places = places_of(model, units)
    assert_fresh_exactly(before, states(result.module, result.optimizer), places)
    for name in ("0.bias", "2.bias"):
        assert not result.module.get_parameter(name)[places[name]].any()
    if density is None:
        return
    assert_masked(result.module)
    for name, mask in masks_of(model).items():
        assert torch.equal(masks_of(result.module)[name], mask)


@pytest.mark.parametrize("density", [None, 0.3])
def test_redo_1_new_numbers_have_the_scale_of_those_in_use(density: float | None):
    """REDO-1, BACK-10: half of the units of a wide layer start anew"""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(200, 100), nn.ReLU(), nn.Linear(100, 3))
    with torch.no_grad():
        model[0].weight.normal_(0.02, 0.3)
        if density is not None:
            model[0].register_buffer("weight_mask", (torch.rand(100, 200) < density).float())
            model[0].weight.mul_(model[0].weight_mask)
        model[0].weight[:50] = 0
        model[0].bias[:50] = 0
        model[0].bias[50:] = 1
    x = torch.rand(8, 200)
    new = morphir.apply(model, RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))
    weight = new[0].weight[:50].detach()
    used = weight[model[0].weight_mask[:50] == 1] if density is not None else weight
    assert bool((used != 0).all())
    assert len(used.flatten()) == int((weight != 0).sum())
    assert float(used.mean()) == pytest.approx(0.02, abs=0.02)
    assert float(used.std()) == pytest.approx(0.3, rel=0.05)


class Critic(nn.Module):
    """What it takes can't be told from its first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 8), nn.Linear(8, 1)

    def forward(self, observation: torch.Tensor, action: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.first(torch.cat([observation, action], 1))))


@pytest.mark.parametrize("make", [RecycleDormantPass, lambda data: PruneDormantPass(data=data)])
def test_redo_1_a_critic_is_recorded_on_the_data_where_no_inputs_are_given(make: Any):
    model, data = Critic(), (torch.rand(6, 3), torch.rand(6, 2))
    with torch.no_grad():
        model.first.bias[:3] = -20
    result = morphir.transform(model, make(data))
    assert result.report.grade is Grade.EMPIRICAL
    assert "3" in result.report.passes[-1]
    given = morphir.transform(model, make(data), example_inputs=data)
    assert result.report.passes == given.report.passes
    for one, other in zip(result.module.parameters(), given.module.parameters(), strict=True):
        assert torch.equal(one, other)


def test_data_that_fit_no_entry_point_are_refused_as_data():
    with pytest.raises(morphir.RefusalError, match="data= has 1 tensors for 'forward'"):
        morphir.transform(Critic(), RecycleDormantPass((torch.rand(6, 3),)))


def test_redo_1_units_before_a_layer_norm_start_anew_and_the_drift_is_measured():
    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(50, 4)
    with torch.no_grad():
        model[1].bias[[2, 5]] = -9
    result = morphir.transform(model, RecycleDormantPass((x,), at="1", threshold=0.0))
    assert "2 of 8 units of 0.weight started anew: 2, 5" in result.report.passes[0]
    assert result.report.grade is Grade.EMPIRICAL
    assert result.report.check("data").figures["bound"] > 0
    assert not result.module[3].weight[:, [2, 5]].any()
    assert not result.module[1].bias[[2, 5]].any()


@pytest.mark.parametrize("width", [1, 16])
def test_redo_1_a_layer_in_which_all_are_dormant_starts_anew_as_a_whole(width: int):
    model, x = nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, 2)), torch.rand(9, 4)
    with torch.no_grad():
        model[0].bias[:] = -50
    result = morphir.transform(model, RecycleDormantPass((x,), threshold=0.0))
    assert not result.module[0].bias.any()
    assert not result.module[2].weight.any()
    if width > 1:
        assert (result.module[0](x) > 0).any()


class Masked(nn.Linear):
    """A layer that multiplies its weight with a buffer."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs)
        self.register_buffer("mask", torch.tril(torch.ones(outputs, inputs)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(x, self.weight * self.mask, self.bias)


def test_redo_1_buffers_that_a_forward_reads_stay_as_they_are():
    model, x = nn.Sequential(Masked(4, 5), nn.ReLU(), Masked(5, 3)), torch.randn(20, 4)
    with torch.no_grad():
        model[0].bias[[1, 2]] = -9
    result = morphir.transform(model, RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))
    for layer in (0, 2):
        assert torch.equal(result.module[layer].mask, model[layer].mask)
    assert not result.module[2].weight[:, [1, 2]].any()
    assert (result.module[0].weight[[1, 2]] != model[0].weight[[1, 2]]).all()


class Selecting(nn.Module):
    """Units that are summed with the numbers of a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 5)
        self.register_buffer("sums", torch.rand(3, 5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(torch.relu(self.first(x)), self.sums)


def test_redo_1_units_that_only_a_buffer_reads_are_refused():
    model, x = Selecting(), torch.randn(20, 4)
    with torch.no_grad():
        model.first.bias[0] = -9
    with pytest.raises(RefusalError, match="'sums' is no parameter, and would have to hold"):
        morphir.transform(model, RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))


def _listened_to(program, groups, anew, *rest):
    """New units that the next layer listens to from the start."""
    numbers, places = numbers_anew(program, groups, anew, *rest)
    numbers["2.weight"][:, [*anew[0][1]]] = 0.5
    return numbers, places


def test_run_11_a_silent_unit_that_makes_itself_heard_is_found(monkeypatch: pytest.MonkeyPatch):
    """RUN-11: above a threshold of 0 it is measured how much that changes"""
    model, x = net(({1, 4}, set()), None), batch()
    kept = morphir.transform(model, RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))
    assert kept.report.check("native").grade is Grade.TESTED
    monkeypatch.setattr(prune, "numbers_anew", _listened_to)
    with pytest.raises(morphir.VerificationError) as failed:
        morphir.transform(model, RecycleDormantPass((x,), threshold=0.0), example_inputs=(x,))
    assert failed.value.report.check("native").grade is Grade.REFUTED
    some = morphir.transform(model, RecycleDormantPass((x,), threshold=1e-9), example_inputs=(x,))
    assert some.report.grade is Grade.EMPIRICAL
    assert some.report.check("data").figures["bound"] > 0.1


def test_redo_1_it_is_a_pruning_that_reseeds():
    """REDO-1, PRUNE-3"""
    model, x = net(({1, 4}, {0, 3})), batch()
    found = [
        morphir.transform(model, pass_, example_inputs=(x,))
        for pass_ in (
            RecycleDormantPass((x,), at="0", threshold=0.0, seed=3),
            PruneDormantPass(at="0", data=(x,), mode="reseed", seed=3),
        )
    ]
    one, other = (each.module.state_dict() for each in found)
    assert all(torch.equal(one[name], other[name]) for name in other)
    assert torch.equal(found[0].module[2].bias, model[2].bias), "at= names the first layer"
    assert found[0].report.grade is Grade.EMPIRICAL
    assert "2 of 9 units of 0.weight started anew: 1, 4 (PRUNE-3)" in str(found[0].report)


def test_redo_1_a_unit_that_nobody_reads_yet_is_not_dormant():
    """REDO-1: as one is that started anew a moment ago"""
    model, x = net((set(), set()), None), batch()
    with torch.no_grad():
        model[2].weight[:, 3] = 0
    pass_ = RecycleDormantPass((x,), threshold=0.0)
    assert "no unit that does nothing" in str(
        morphir.transform(model, pass_, example_inputs=(x,)).report
    )
    first = net(({2}, set()), None)
    once = morphir.apply(first, pass_, example_inputs=(x,))
    again = morphir.apply(
        once, RecycleDormantPass((x,), threshold=0.0, seed=9), example_inputs=(x,)
    )
    assert torch.equal(once[0].weight, again[0].weight)


def test_back_6_a_failure_leaves_everything_as_it_was():
    """BACK-6, STATE-13"""
    model, x = net(({1, 4}, {0, 3})), batch()
    optimizer, _ = learned(model)
    before = snapshot(model, optimizer)
    with pytest.raises(morphir.VerificationError, match="EMPIRICAL"):
        morphir.transform(
            model, RecycleDormantPass((x,)), optimizer=optimizer, example_inputs=(x,),
            inplace=True, min_grade=Grade.PROVED,
        )  # fmt: skip
    assert not difference(before, snapshot(model, optimizer))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": None}, "data=None, expected inputs"),
        ({"data": (1,), "threshold": -1}, "threshold=-1, expected a number"),
        ({"data": (1,), "at": [3]}, r"at=\(3,\), expected a qualified"),
        ({"data": (1,), "seed": 0.5}, "seed=0.5, expected an integer"),
    ],
)
def test_options_that_fit_no_model_are_refused(options, message: str):
    with pytest.raises(RefusalError, match=message):
        RecycleDormantPass(**options)
