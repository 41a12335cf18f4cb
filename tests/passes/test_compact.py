"""COMPACT-1, COMPACT-2 and COMPACT-3 on every kind of net, in both ways of editing."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize, prune

import morphir
from morphir import CompactPass, DeeperPass, Grade, RefusalError, VerificationError, WiderPass
from morphir.backend.surgery import Surgery
from morphir.passes import compact, units
from tests.passes.test_random_nets import Random, step
from tests.passes.test_wider import EVERY, IMAGE, SEQUENCE, SITES, X
from tests.passes.widenings import Agent, Images, Sequence, assert_same, mlp, wide


def compacted(model: nn.Module, *inputs: torch.Tensor, **options: Any) -> morphir.TransformResult:
    """Compacts; what comes out is proved, and computes the same in both modes."""
    result = morphir.transform(model, CompactPass(**options), example_inputs=inputs)
    assert result.report.grade is Grade.PROVED, result.report
    for training in (False, True):
        assert_same(model, result.module, *inputs, training=training)
    return result


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    """All numbers of two models are the same, and have the same shapes."""
    first, second = one.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def zero(tensor: torch.Tensor, *index: Any) -> None:
    with torch.no_grad():
        tensor[index] = 0


# -- widening and its inverse ----------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
def test_compact_3_merging_copies_undoes_a_widening_to_the_bit(name: str):
    """COMPACT-2, COMPACT-3"""
    make, x, at, options = EVERY[name]
    model = make()
    grown = wide(model, at, x, **options).module
    result = compacted(grown, x, merge_copies=True)
    assert result.report.laws == ("CERT-5", "COMPACT-2")
    assert_same_bits(model, result.module)


@pytest.mark.parametrize("name", SITES)
def test_compact_1_fresh_units_go_without_a_trace(name: str):
    """COMPACT-1, COMPACT-3"""
    make, x, at, options = SITES[name]
    model = make()
    grown = wide(model, at, x, init="fresh", **options).module
    for options in ({}, {"merge_copies": True}):
        assert_same_bits(model, compacted(grown, x, **options).module)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_compact_3_several_widenings_in_a_row_are_undone_at_once(dtype: torch.dtype):
    """COMPACT-3: parts of parts sum to the old number, whoever made them in what order"""
    torch.manual_seed(0)
    model, x = mlp().to(dtype), X.to(dtype)
    grown = model
    for seed, (at, width) in enumerate([("0", 9), ("2", 8), ("0", 14), ("2", 11), ("0", 31)]):
        grown = wide(grown, at, x, width=width, seed=seed).module
    grown = wide(grown, "2", x, width=13, init="fresh").module
    assert_same_bits(model, compacted(grown, x, merge_copies=True).module)


def test_compact_3_insertion_and_widening_are_undone():
    model = mlp()
    deeper = morphir.apply(model, DeeperPass(at="1"), example_inputs=(X,))
    grown = wide(deeper, "0", X, width=10).module
    assert_same_bits(deeper, compacted(grown, X, merge_copies=True).module)


def test_compact_3_the_heads_of_attention():
    """COMPACT-3: blocks of features are copies of blocks"""
    make, x, at, options = EVERY["encoder"]
    model = make()
    grown = wide(model, at, x, **options).module
    result = compacted(grown, x, merge_copies=True)
    assert result.module.layer.self_attn.num_heads == 2
    assert_same_bits(model, result.module)


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
        assert_same_bits(model, again.module)


# -- units that do nothing -------------------------------------------------------------------------


def test_compact_1_units_die_with_the_units_that_read_them():
    """COMPACT-1: to a fixpoint, in one edit"""
    model = mlp(hidden=8)
    zero(model[4].weight, slice(None), [1, 2])
    zero(model[2].weight, [0, 3, 4], 7)  # so 7 is read by 1 and 2 only
    result = compacted(model, X)
    assert [layer.out_features for layer in result.module if isinstance(layer, nn.Linear)] == [
        7,
        3,
        3,
    ]
    assert result.report.laws == ("CERT-5", "COMPACT-1")
    assert "8 units of 0.weight became 7 (COMPACT-1)" in str(result.report)
    assert "5 units of 2.weight became 3 (COMPACT-1)" in str(result.report)
    parameters = [sum(p.numel() for p in m.parameters()) for m in (model, result.module)]
    assert f"{parameters[0] - parameters[1]} parameters fewer" in str(result.report)


def test_compact_1_what_is_fed_by_nothing_is_gone_in_every_layer_behind():
    """COMPACT-1: a unit that is always 0, though what reads it is not"""
    model = nn.Sequential(
        nn.Linear(4, 5, bias=False), nn.ReLU(), nn.Linear(5, 5, bias=False), nn.ReLU(),
        nn.Linear(5, 3),
    )  # fmt: skip
    zero(model[0].weight, 2)
    zero(model[2].weight, 4, [0, 1, 3, 4])  # so 4 is a multiple of the unit that is 0
    result = compacted(model, X)
    assert [m.out_features for m in result.module if isinstance(m, nn.Linear)] == [4, 4, 3]


def test_compact_1_one_unit_stays():
    model = mlp()
    zero(model[2].weight)
    with torch.no_grad():
        model[2].bias.fill_(0.5)
    result = compacted(model, X)
    assert [layer.out_features for layer in result.module if isinstance(layer, nn.Linear)] == [
        1,
        5,
        3,
    ]


def test_compact_1_a_channel_goes_from_a_whole_residual_stream():
    """COMPACT-1: two producers, a BatchNorm, two readers, and a flatten behind pooling"""
    model = Images()
    with torch.no_grad():
        for tensor in (model.norm.weight, model.norm.bias, model.two.bias):
            tensor[3] = 0
        model.two.weight[3] = 0
    result = compacted(model, IMAGE)
    assert result.module.stem.out_channels == result.module.two.out_channels == 4
    assert result.module.head.in_features == 4 * 9
    assert result.module.norm.num_features == result.module.one.in_channels == 4
    # A channel that one of the two producers still writes to stays.
    with torch.no_grad():
        model.two.bias[3] = 0.5
    assert "nothing is useless" in str(compacted(model, IMAGE).report)


def test_compact_1_masks_of_torch():
    """COMPACT-1: torch.nn.utils.prune, whose product of weight and mask is made at each forward"""
    model = mlp(hidden=8)
    prune.ln_structured(model[2], "weight", 2, n=2, dim=1)
    prune.ln_structured(model[2], "weight", 2, n=2, dim=0)
    prune.custom_from_mask(model[2], "bias", (model[2].weight_mask.sum(1) > 0).float())
    result = morphir.transform(model, CompactPass(), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    layer = result.module[2]
    assert (layer.in_features, layer.out_features) == (6, 3)
    assert layer.weight.shape == layer.weight_orig.shape == layer.weight_mask.shape == (3, 6)
    assert prune.is_pruned(layer)
    assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)


class Masked(nn.Module):
    """A parametrization that masks."""

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * self.mask


def test_compact_1_a_parametrization_that_masks():
    """COMPACT-1"""
    model = mlp(hidden=8)
    mask = torch.ones(5, 8)
    mask[:, [2, 5]] = 0
    parametrize.register_parametrization(model[2], "weight", Masked(mask))
    result = compacted(model, X)
    assert result.module[0].out_features == 6
    assert result.module[2].weight.shape == (5, 6)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(4, 6) for _ in "qkv")
        self.out = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.softmax(self.q(x) @ self.k(x).mT / 2, -1)
        return self.out(weights @ self.v(x))


@pytest.mark.parametrize("dead", ["q", "k", "one of each"])
def test_compact_1_what_q_or_k_is_zero_in(dead: str):
    """COMPACT-1: a sum of products of values, either of which may be 0"""
    model = Attention()
    for name, unit in {"q": [("q", 1)], "k": [("k", 1)]}.get(dead, [("q", 1), ("k", 4)]):
        layer = getattr(model, name)
        zero(layer.weight, unit)
        zero(layer.bias, unit)
    zero(model.v.weight, 5)
    zero(model.v.bias, 5)
    result = compacted(model, SEQUENCE)
    left = 4 if dead == "one of each" else 5
    assert result.module.q.out_features == result.module.k.out_features == left
    assert result.module.v.out_features == result.module.out.in_features == 5


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_compact_1_a_recurrent_unit_that_nothing_reads(kind: type[nn.RNNBase]):
    """COMPACT-1: neither the next step nor the next layer; one of the two is not enough"""
    model = Sequence(kind)
    zero(model.rnn.weight_hh_l0, slice(None), [1, 2])
    zero(model.head.weight, slice(None), [2, 3])
    result = compacted(model, SEQUENCE)
    assert result.module.rnn.hidden_size == 5


class Dropping(nn.Module):
    """Dropout between a unit that is 0 and what reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 3), nn.Linear(6, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.drop(F.gelu(self.a(x)))
        return self.b(h) * torch.sigmoid(self.c(h))


def test_compact_1_behind_dropout_and_for_every_reader():
    """COMPACT-1: nothing that is dropped is more than 0"""
    model = Dropping()
    zero(model.a.weight, 2)
    zero(model.a.bias, 2)
    zero(model.b.weight, slice(None), 4)  # but not the other branch
    result = compacted(model, X)
    assert result.module.a.out_features == 5


class Twice(nn.Module):
    """One layer, called twice, in a stream of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.cell, self.head = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.stem(x))
        for _ in range(2):
            x = x + torch.tanh(self.cell(x))
        return self.head(x)


def test_compact_1_a_shared_layer_that_reads_its_own_units():
    """COMPACT-1: the rows and the columns of one weight are one axis"""
    model = Twice()
    zero(model.cell.weight, slice(None), [2, 4])
    zero(model.head.weight, slice(None), [2, 5])
    result = compacted(model, X)
    assert result.module.cell.weight.shape == (5, 5)


def test_compact_1_every_entry_point_counts():
    """COMPACT-1"""
    model = Agent()
    zero(model.actor.weight, slice(None), [1, 2])
    zero(model.critic.weight, slice(None), [2, 3])
    given = {"example_inputs": (X,), "entry_points": ("act", "value")}
    result = morphir.transform(model, CompactPass(), **given)
    assert result.report.grade is Grade.PROVED
    assert result.module.trunk[0].out_features == 5


@settings(max_examples=40, deadline=None)
@given(
    steps=st.lists(step, max_size=7),
    zeros=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=8),
    double=st.booleans(),
    seed=st.integers(0, 3),
)
def test_compact_1_on_random_nets(steps: Any, zeros: Any, double: bool, seed: int):
    """COMPACT-1: whatever is 0, what is left computes the same, and nothing is left to do"""
    torch.manual_seed(seed)
    model = Random(steps, True)
    x = X
    if double:
        model, x = model.double(), x.double()
    layers = [module for module in model.modules() if isinstance(module, nn.Linear)]
    for number, unit, is_row in zeros:
        layer = layers[number % len(layers)]
        if is_row:
            row = unit % layer.out_features
            zero(layer.weight, row)
            with torch.no_grad():
                layer.bias[row] = -float(number % 2)
        else:
            zero(layer.weight, slice(None), unit % layer.in_features)
    note(f"{model} {model.plan}")
    result = compacted(model, x)
    event(f"removed: {result.report.laws[-1]}")
    assert "nothing is useless" in str(compacted(result.module, x).report)


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
    assert_same_bits(model, result.module)
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


@pytest.mark.parametrize("merge", [False, True])
def test_compact_in_place_keeps_parameters_and_undoes_what_fails(merge: bool, monkeypatch: Any):
    grown = wide(mlp(), "0", X, width=10).module
    zero(grown[4].weight, slice(None), 2)
    kept, parameters = copy.deepcopy(grown), [*grown.parameters()]
    monkeypatch.setattr("morphir.pipeline.check_emission", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        morphir.apply(grown, CompactPass(merge_copies=merge), example_inputs=(X,), inplace=True)
    assert_same_bits(kept, grown)
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
    assert_same_bits(result.module, replayed)
    morphir.save(result, tmp_path / "agent")
    loaded = morphir.load(tmp_path / "agent", mlp)
    assert_same_bits(result.module, getattr(loaded, "module", loaded))
    text = result.certificate.to_json()
    assert morphir.Certificate.from_json(text) == result.certificate


def test_compact_is_planned():
    grown = wide(mlp(), "0", X, width=10).module
    plan = morphir.plan(grown, CompactPass(merge_copies=True), example_inputs=(X,))
    assert next(each.change for each in plan.tensors) == "f32[10 -> 6 merge, 4]"
    assert plan.stages[0].growth == -(4 * 4 + 4 + 4 * 5)


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


def test_compact_2_what_is_zero_by_itself_is_left_for_another_pass():
    model = wide(mlp(), "2", X, width=7).module
    zero(model[0].weight, 0)
    with torch.no_grad():
        model[0].bias[0] = -1
    result = compacted(model, X, merge_copies=True)
    assert "1 units that do nothing stay: another CompactPass() removes what it can" in str(
        result.report
    )
    assert compacted(result.module, X).module[0].out_features == 5


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
        compact, "copies_in", lambda units, known, apart: [0, 0, *range(2, units.leaf.size)]
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
