"""COMPACT-1 to COMPACT-3: what a widening made goes again, in both ways of editing."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir import CompactPass, DeeperPass, Grade, RefusalError, VerificationError, WiderPass
from morphir.backend.surgery import Surgery
from morphir.passes import compact, units
from tests.passes.compactions import Dropping, assert_same_state, compacted, zero
from tests.passes.random_nets import Random, step
from tests.passes.test_wider import EVERY, SITES, X
from tests.passes.widenings import mlp, wide

# -- widening and its inverse ----------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_compact_3_merging_copies_undoes_a_widening_to_the_bit(name: str):
    """COMPACT-2, COMPACT-3"""
    make, x, at, options = EVERY[name]
    model = make()
    grown = wide(model, at, x, **options).module
    result = compacted(grown, x, merge_copies=True)
    assert result.report.laws == ("CERT-5", "COMPACT-2")
    assert_same_state(model, result.module)


@pytest.mark.parametrize("name", SITES)
def test_compact_1_fresh_units_go_without_a_trace(name: str):
    """COMPACT-1, COMPACT-3"""
    make, x, at, options = SITES[name]
    model = make()
    grown = wide(model, at, x, init="fresh", **options).module
    for options in ({}, {"merge_copies": True}):
        assert_same_state(model, compacted(grown, x, **options).module)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_compact_3_several_widenings_in_a_row_are_undone_at_once(dtype: torch.dtype):
    """COMPACT-3: parts of parts sum to the old number, whoever made them in what order"""
    torch.manual_seed(0)
    model, x = mlp().to(dtype), X.to(dtype)
    grown = model
    for seed, (at, width) in enumerate([("0", 9), ("2", 8), ("0", 14), ("2", 11), ("0", 31)]):
        grown = wide(grown, at, x, width=width, seed=seed).module
    grown = wide(grown, "2", x, width=13, init="fresh").module
    assert_same_state(model, compacted(grown, x, merge_copies=True).module)


def test_compact_3_insertion_and_widening_are_undone():
    model = mlp()
    deeper = morphir.apply(model, DeeperPass(at="1"), example_inputs=(X,))
    grown = wide(deeper, "0", X, width=10).module
    assert_same_state(deeper, compacted(grown, X, merge_copies=True).module)


def test_compact_3_the_heads_of_attention():
    """COMPACT-3: blocks of features are copies of blocks"""
    make, x, at, options = EVERY["encoder"]
    model = make()
    grown = wide(model, at, x, **options).module
    result = compacted(grown, x, merge_copies=True)
    assert result.module.layer.self_attn.num_heads == 2
    assert_same_state(model, result.module)


@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(step, max_size=7),
    more=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 5)), min_size=1, max_size=2),
    init=st.sampled_from(["copy", "fresh"]),
    seed=st.integers(0, 3),
)
def test_compact_3_on_random_nets(steps: Any, more: Any, init: Any, seed: int):
    """COMPACT-3: the old weights come back, where nothing was useless in the old net"""
    torch.manual_seed(seed)
    model = Random(steps, True)
    grown: nn.Module = model
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "head"]
    for number, by in more if names else ():
        at = names[number % len(names)]
        width = grown.get_submodule(at).out_features + by
        note(f"{model} {model.plan} {at} {width}")
        try:
            grown = morphir.apply(
                grown, WiderPass(at=at, width=width, init=init, seed=seed), example_inputs=(X,)
            )
        except RefusalError:
            event("not widened")
    plain, result = (compacted(each, X, merge_copies=True) for each in (model, grown))
    event(f"{plain.report.laws[-1]}, {result.report.laws[-1]}")
    again = compacted(result.module, X)
    if plain.report.laws == compacted(model, X).report.laws == ("CERT-5",):
        assert_same_state(model, again.module)


# -- the optimizer, in place, lineage --------------------------------------------------------------


def trained(model: nn.Module, x: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
    for _ in range(3):
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adamax])
def test_state_18_moments_after_a_widening_and_its_inverse_are_the_old_ones(kind: Any):
    """STATE-18"""
    torch.manual_seed(0)
    model = mlp().double()
    options = {"momentum": 0.9} if kind is torch.optim.RMSprop else {}
    optimizer = kind(model.parameters(), lr=1e-3, **options)
    trained(model, X.double(), optimizer)
    grown = wide(model, "0", X.double(), width=10, optimizer=optimizer)
    result = morphir.transform(
        grown.module, CompactPass(merge_copies=True), optimizer=grown.optimizer,
        example_inputs=(X.double(),),
    )  # fmt: skip
    assert_same_state(model, result.module)
    pairs = zip(model.parameters(), result.module.parameters(), strict=True)
    for old, new in pairs:
        before, after = optimizer.state[old], result.optimizer.state[new]
        for entry, value in before.items():
            assert after[entry].shape == value.shape
            assert torch.allclose(after[entry], value, rtol=1e-12, atol=0), entry
        assert torch.allclose(new.grad, old.grad, rtol=1e-12, atol=1e-16)


def test_compact_2_copies_that_were_trained_alike_are_merged_and_the_sum_is_rounded():
    """COMPACT-2, RUN-6: equal copies stay equal; their readers do not sum to a float any more"""
    torch.manual_seed(0)
    grown = wide(mlp(), "0", X, width=12, shares="equal").module
    trained(grown, X, torch.optim.SGD(grown.parameters(), lr=0.01))
    with torch.no_grad():
        grown[2].weight.add_(torch.randn_like(grown[2].weight))
    result = morphir.transform(grown, CompactPass(merge_copies=True), example_inputs=(X,))
    assert result.report.grade is Grade.TESTED
    assert result.module[0].out_features == 6
    (check,) = (check for check in result.report.checks if check.name == "rounding")
    assert "1 tensor rounded, by at most" in check.summary
    expected = grown[2].weight[:, :6].double() + grown[2].weight[:, 6:].double()
    assert torch.equal(result.module[2].weight, expected.float())
    doubles = [copy.deepcopy(each).double() for each in (grown, result.module)]
    gap = (doubles[0](X.double()) - doubles[1](X.double())).abs().max()
    assert 0 < gap <= check.figures["bound"] * (1 + 1e-6)
    with pytest.raises(VerificationError, match="the change is TESTED, expected PROVED"):
        morphir.transform(
            grown, CompactPass(merge_copies=True), example_inputs=(X,),
            min_grade=Grade.PROVED,
        )  # fmt: skip


def test_state_18_the_report_says_of_which_units_moments_are_estimates():
    """STATE-18: what makes the copies is frozen, what reads them is not"""
    torch.manual_seed(0)
    grown = wide(mlp(), "0", X, width=8).module
    with torch.no_grad():
        grown[2].weight.add_(torch.randn_like(grown[2].weight))
    report = morphir.transform(grown, CompactPass(merge_copies=True), example_inputs=(X,)).report
    first = [grown[0].weight[:6].tolist().index(row) for row in grown[0].weight[6:].tolist()]
    told = f"0.weight: the parts of units {min(first)}, {max(first)} are in no one ratio, so their"
    assert f"{told} moments, other than of gradients, are estimates (STATE-18)" in str(report)


@pytest.mark.parametrize("merge", [False, True])
def test_compact_in_place_keeps_parameters_and_undoes_what_fails(merge: bool, monkeypatch: Any):
    grown = wide(mlp(), "0", X, width=10).module
    zero(grown[4].weight, slice(None), 2)
    kept, parameters = copy.deepcopy(grown), [*grown.parameters()]
    monkeypatch.setattr("morphir.pipeline.check_emission", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        morphir.apply(grown, CompactPass(merge_copies=merge), example_inputs=(X,), inplace=True)
    assert_same_state(kept, grown)
    assert grown[0].out_features == 10
    monkeypatch.undo()
    same = morphir.apply(grown, CompactPass(merge_copies=merge), example_inputs=(X,), inplace=True)
    assert same is grown
    assert [*same.parameters()] == parameters
    assert same[0].out_features == (6 if merge else 10)


def test_compact_is_replayed_with_its_lineage(tmp_path: Any):
    """COMPACT-2: the lineage says that the change is an inverse; so does its file"""
    torch.manual_seed(0)
    grown = wide(mlp(), "0", X, width=10)
    result = morphir.transform(grown.module, CompactPass(merge_copies=True), example_inputs=(X,))
    assert [step.inverse for step in result.lineage.steps] == [False, True]
    assert "6 to 10 units" in str(result.lineage)
    assert "10 to 6 units" in str(result.lineage)
    torch.manual_seed(0)
    replayed = morphir.replay(morphir.Lineage.from_json(result.lineage.to_json()), mlp())
    assert_same_state(result.module, replayed)
    morphir.save(result, tmp_path / "agent")
    loaded = morphir.load(tmp_path / "agent", mlp)
    assert_same_state(result.module, getattr(loaded, "module", loaded))
    text = result.certificate.to_json()
    assert morphir.Certificate.from_json(text) == result.certificate


def test_compact_is_planned():
    grown = wide(mlp(), "0", X, width=10).module
    plan = morphir.plan(grown, CompactPass(merge_copies=True), example_inputs=(X,))
    assert next(each.change for each in plan.tensors) == "f32[10 -> 6 merge, 4]"
    assert [stage.growth for stage in plan.stages] == [0, -(4 * 4 + 4 + 4 * 5)]
    assert not any(stage.on_copy for stage in plan.stages)  # the first does nothing


# -- what is no copy, and bugs ---------------------------------------------------------------------


def test_compact_2_units_that_differ_in_one_number_are_no_copies():
    model = mlp()
    with torch.no_grad():
        model[0].weight[1] = model[0].weight[0]
        model[0].bias[1] = model[0].bias[0].nextafter(torch.tensor(9.0))
    assert "nothing is useless" in str(compacted(model, X, merge_copies=True).report)
    with torch.no_grad():
        model[0].bias[1] = model[0].bias[0]
    result = morphir.transform(model, CompactPass(merge_copies=True), example_inputs=(X,))
    assert result.module[0].out_features == 5
    assert "nothing is useless" in str(compacted(model, X).report)


def test_compact_2_what_is_zero_by_itself_goes_before_copies_are_merged():
    model = wide(mlp(), "2", X, width=7).module
    zero(model[0].weight, 0)
    with torch.no_grad():
        model[0].bias[0] = -1
    result = compacted(model, X, merge_copies=True)
    assert result.report.laws == ("CERT-5", "COMPACT-1", "COMPACT-2")
    assert [result.module[at].out_features for at in (0, 2)] == [5, 5]


def test_compact_refuses_an_option_that_is_none():
    with pytest.raises(RefusalError, match=r"merge_copies=1, expected True or False"):
        CompactPass(merge_copies=1)  # type: ignore[arg-type]


def outcome(model: nn.Module, x: torch.Tensor, **options: Any) -> str:
    with pytest.raises(VerificationError) as raised:
        morphir.apply(model, CompactPass(**options), example_inputs=(x,))
    found = [
        c.name for c in raised.value.report.checks if c.grade in (Grade.UNKNOWN, Grade.REFUTED)
    ]
    return ", ".join(found)


def test_a_unit_too_many_is_caught(monkeypatch: Any):
    dead = units.Units.dead

    def wrong(self: Any, known: Any) -> Any:
        found = dead(self, known)
        found[0] = True
        return found

    monkeypatch.setattr(units.Units, "dead", wrong)
    expected = "certificate, certificate (train), float64, native"
    assert outcome(mlp(nn.Tanh), X) == expected


def test_another_branch_that_is_forgotten_is_caught(monkeypatch: Any):
    """A unit is dead for the first of two readers only."""
    totals = units.Units._totals
    monkeypatch.setattr(units.Units, "_totals", lambda self: [*totals(self)][:1])
    model = Dropping()
    zero(model.b.weight, slice(None), 4)
    assert outcome(model, X).startswith("certificate, certificate (train), float64")


def test_units_that_only_look_like_copies_are_caught(monkeypatch: Any):
    monkeypatch.setattr(
        compact, "copies_in", lambda units, known: [0, 0, *range(2, units.leaf.size)]
    )
    expected = "certificate, certificate (train), float64, native"
    assert outcome(mlp(nn.Tanh), X, merge_copies=True) == expected


def test_a_sum_that_leaves_a_copy_out_is_caught(monkeypatch: Any):
    grown = wide(mlp(nn.Tanh), "0", X, width=10).module
    apply = Surgery.apply

    def wrong(self: Surgery, edits: Any) -> None:
        apply(self, edits)
        with torch.no_grad():
            self._model[2].weight[0, 0] *= 1 + 2**-20

    monkeypatch.setattr(Surgery, "apply", wrong)
    assert outcome(grown, X, merge_copies=True).startswith("certificate, certificate (train)")


class Projected(nn.Module):
    """An LSTM whose output is shorter than its state, as torch wants it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTM(4, 6, batch_first=True, proj_size=4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.cell(x)[0])


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # oneDNN has none
def test_compact_2_a_state_stays_longer_than_its_projection():
    """COMPACT-2: torch builds no LSTM of 4 units with a projection to 4"""
    model = Projected()
    with torch.no_grad():
        for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            gates = getattr(model.cell, name).unflatten(0, (4, 6))
            gates[:, 2:] = gates[:, 1:2]
    x = (torch.randn(2, 5, 4),)
    result = morphir.transform(model, CompactPass(merge_copies=True), example_inputs=x)
    assert result.module.cell.hidden_size == 5
    nn.LSTM(4, result.module.cell.hidden_size, proj_size=4)
