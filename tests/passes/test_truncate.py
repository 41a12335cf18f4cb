"""PRUNE-6: which weights of dormant units cease to be used."""

from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import Grade, PruneDormantPass, RefusalError, SparsifyPass
from morphir.checks.bits import equal_bits
from morphir.testing.snapshots import difference, snapshot
from tests.passes.masked import assert_masked, masked, masks_of
from tests.passes.silent import (
    WIDTHS,
    assert_fresh_exactly,
    batch,
    dormant,
    learned,
    lost,
    net,
    places_of,
    states,
)

NAMES = ("0.weight", "2.weight", "4.weight")
UNITS = tuple(st.sets(st.integers(0, width - 1), max_size=width - 2) for width in WIDTHS)


def pruned(model: nn.Module, x: torch.Tensor, **options) -> morphir.TransformResult:
    pass_ = PruneDormantPass(data=(x,), mode="mask", **options)
    result = morphir.transform(model, pass_, example_inputs=(x,))
    assert_masked(result.module)
    return result


def in_use(places: set, model: nn.Module) -> set:
    masks = masks_of(model)
    return {(n, row, column) for n, row, column in places if masks[n][row, column]}


@settings(max_examples=40)
@given(
    silent=st.tuples(*UNITS),
    most=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 12)) | st.none(),
    seed=st.integers(0, 99),
    density=st.sampled_from([0.3, 0.6, 1.0]),
)
@example(silent=(set(), {3}), most=None, seed=16, density=0.3)  # zeros of another sign
def test_prune_6_as_many_candidates_as_are_allowed_cease_to_be_used(
    silent: tuple[set[int], set[int]], most: Mapping[str, int] | None, seed: int, density: float
):
    """PRUNE-6: no layer loses more than its bound, and none a weight that is no candidate"""
    model, x = net(silent, density, seed), batch(seed)
    model[2].weight.data[0, 0] = model[2].weight_mask[0, 0] = 1  # one unit of each has to be read
    candidates = in_use(places_of(model, dormant(model, x, 0.0)), model)
    result = pruned(model, x, weights=most, seed=seed)
    gone = lost(masks_of(model), masks_of(result.module))
    assert gone <= candidates
    for name in NAMES:
        of_it = [place for place in candidates if place[0] == name]
        bound = len(of_it) if most is None else min(len(of_it), most.get(name, 0))
        assert len([place for place in gone if place[0] == name]) == bound
    if gone:  # and if all of a unit was 0 before, no number is another one
        pairs = zip(model.parameters(), result.module.parameters(), strict=True)
        is_same = all(equal_bits(*pair) for pair in pairs)
        assert result.report.grade is (Grade.PROVED if is_same else Grade.EMPIRICAL)
    else:
        assert masks_of(result.module).keys() == masks_of(model).keys()
        assert_same_numbers(model, result.module, {})


def assert_same_numbers(
    before: nn.Module, after: nn.Module, but: Mapping[str, torch.Tensor]
) -> None:
    """All numbers are what they were, to the bit, but at these places."""
    for name, old in before.named_parameters():
        at = but.get(name, torch.tensor(False)).expand(old.shape)
        assert torch.equal(after.get_parameter(name)[~at], old[~at]), name


def places_anew(model: nn.Module, units: list[set[int]]) -> dict[str, torch.Tensor]:
    """Where numbers are those of units, biases too."""
    found = {name: torch.zeros_like(p, dtype=torch.bool) for name, p in model.named_parameters()}
    for name, row, column in places_of(model, units):
        found[name][row, column] = True
    for name, own in zip(("0.bias", "2.bias"), units, strict=True):
        found[name][[*own]] = True
    return found


@settings(max_examples=30)
@given(silent=st.tuples(*UNITS), seed=st.integers(0, 99), most=st.integers(1, 6))
def test_prune_6_units_that_lost_a_weight_start_anew_and_no_others(
    silent: tuple[set[int], set[int]], seed: int, most: int
):
    """PRUNE-6, PRUNE-3, STATE-19"""
    model, x = net(silent, 0.5, seed), batch(seed)
    optimizer, before = learned(model, seed)
    weights = dict.fromkeys(NAMES, most)
    pass_ = PruneDormantPass(data=(x,), mode="mask", weights=weights, seed=seed)
    units = dormant(model, x, 0.0)
    result = morphir.transform(model, pass_, optimizer=optimizer, example_inputs=(x,))
    gone = lost(masks_of(model), masks_of(result.module))
    anew = [
        {row for name, row, _ in gone if name == own} | {c for name, _, c in gone if name == next_}
        for own, next_ in pairwise(NAMES)
    ]
    anew = [found & own for found, own in zip(anew, units, strict=True)]
    places = places_anew(model, anew)
    assert_same_numbers(model, result.module, places)
    assert_fresh_exactly(before, states(result.module, result.optimizer), places)
    for layer, following, own in ((0, 2, anew[0]), (2, 4, anew[1])):
        rows, mask = result.module[layer].weight[[*own]], result.module[layer].weight_mask[[*own]]
        others = mask[:, [c for c in range(mask.shape[1]) if layer == 0 or c not in anew[0]]]
        drawn = rows[:, [c for c in range(mask.shape[1]) if layer == 0 or c not in anew[0]]]
        assert bool((drawn[others == 1] != 0).all()), "incoming numbers are drawn"
        assert not result.module[layer].bias[[*own]].any()
        assert not result.module[following].weight[:, [*own]].any()


def test_prune_6_with_a_threshold_of_0_nothing_changes_on_the_data():
    """PRUNE-6, RUN-2"""
    model, x = net(({1, 4}, {0, 3})), batch()
    result = pruned(model, x)
    torch.testing.assert_close(result.module(x), model(x), rtol=1e-6, atol=1e-6)
    assert result.report.check("data").figures["bound"] < 1e-6


def test_prune_6_which_of_them_is_drawn_from_the_seed():
    """PRUNE-6: every candidate goes with some seed, and the same ones with the same seed"""
    model, x = net(({2}, set())), batch()
    candidates = in_use(places_of(model, [{2}, set()]), model)
    found = [
        lost(masks_of(model), masks_of(pruned(model, x, weights={"0.weight": 1}, seed=s).module))
        for s in (*range(20), 0)
    ]
    assert found[0] == found[-1]
    assert all(len(each) == 1 for each in found)
    assert set.union(*found) == {place for place in candidates if place[0] == "0.weight"}


def test_prune_6_kernels_and_their_channels_behind_a_flatten():
    """PRUNE-6: a channel is as many columns of the layer that sees it flattened"""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)
    )
    masked(model, 0.7)
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = 0, 0
        model[2].weight[2], model[2].bias[2] = 0, 0
        for layer in (model[0], model[2]):
            layer.weight.abs_()
            layer.bias[[0]] = 1
    x = torch.rand(4, 2, 4, 4)
    silent = [
        {u for u in range(h.shape[1]) if not bool(h[:, u].any())}
        for h in (model[:2](x), model[:4](x))
    ]
    assert 1 in silent[0]
    assert 2 in silent[1]
    new = pruned(model, x).module
    for name, old in masks_of(model).items():
        expected = old.clone()
        if name == "0.weight":
            expected[[*silent[0]]] = 0
        elif name == "2.weight":
            expected[:, [*silent[0]]] = expected[[*silent[1]]] = 0
        else:
            expected.view(2, 3, 4)[:, [*silent[1]]] = 0
        assert torch.equal(masks_of(new)[name], expected), name


def test_prune_6_only_what_is_masked_loses_weights():
    """PRUNE-6"""
    model, x = net(({2}, {3}), None), batch()
    model = morphir.apply(model, SparsifyPass(0.6, at="2"), example_inputs=(x,))
    units = dormant(model, x, 0.0)
    result = pruned(model, x)
    assert [*masks_of(result.module)] == ["2.weight"]
    gone = lost(masks_of(model), masks_of(result.module))
    assert gone == in_use(places_of(model, units) & _of("2.weight"), model)


def _of(name: str) -> set:
    return {(name, row, column) for row in range(WIDTHS[1]) for column in range(WIDTHS[0])}


def test_prune_6_what_it_did_is_said():
    """PRUNE-6"""
    model, x = net(({2}, {3})), batch()
    text = str(pruned(model, x, weights={"2.weight": 2}).report)
    assert "2.weight: 2 weights cease to be used, density " in text
    assert "0.weight: " not in text.partition("entry points")[0]
    assert "(PRUNE-6)" in text
    assert "no weight of a dormant unit may cease to be used" in str(
        pruned(model, x, weights={}).report
    )


def test_prune_6_what_has_no_mask_is_refused():
    x = batch()
    with pytest.raises(RefusalError, match="nothing is masked") as refused:
        pruned(net(({2}, set()), None), x)
    assert refused.value.nodes == ("0.weight",)
    assert "SparsifyPass" in refused.value.suggestions[0]
    with pytest.raises(RefusalError, match=r"weights= names '0\.bias', which has no mask"):
        pruned(net(({2}, set())), x, weights={"0.bias": 1})


def test_back_6_a_failure_leaves_masks_numbers_and_moments_as_they_were():
    """BACK-6, BACK-19, STATE-13"""
    model, x = net(({1, 4}, {0, 3})), batch()
    optimizer, _ = learned(model)
    before = snapshot(model, optimizer)
    with pytest.raises(morphir.VerificationError, match="EMPIRICAL"):
        morphir.transform(
            model, PruneDormantPass(data=(x,), mode="mask"), optimizer=optimizer,
            example_inputs=(x,), inplace=True, min_grade=Grade.PROVED,
        )  # fmt: skip
    assert not difference(before, snapshot(model, optimizer))
