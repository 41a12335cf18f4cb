"""COMPACT-1: units that do nothing go, on every kind of net."""

import random
from typing import Any

import pytest
import torch
from hypothesis import event, given, note, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize, prune

import morphir
from morphir import CompactPass, Grade, PruneDormantPass
from tests.backend.widenings import Attention, Shared
from tests.passes.compactions import Dropping, compacted, place, silence, zero
from tests.passes.random_nets import Random, step
from tests.passes.test_wider import IMAGE, SEQUENCE, X
from tests.passes.widenings import Agent, Images, Sequence, mlp


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
    assert "0.weight: 8 -> 7 units (COMPACT-1)" in str(result.report)
    assert "2.weight: 5 -> 3 units (COMPACT-1)" in str(result.report)
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


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_compact_1_features_of_a_recurrent_layer_that_are_0_or_that_it_does_not_read(
    kind: type[nn.RNNBase], both: bool
):
    """COMPACT-1: some for one reason and some for the other, at once"""
    model = Sequence(kind, bidirectional=both)
    zero(model.stem.weight, 1)
    zero(model.stem.bias, 1)
    for way in ["", "_reverse"][: 1 + both]:
        zero(getattr(model.rnn, f"weight_ih_l0{way}"), slice(None), [3])
    assert compacted(model, SEQUENCE).module.stem.out_features == 3


class Grouped(nn.Module):
    """Groups that read channels which something else reads one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.grouped, self.read = nn.Conv2d(2, 4, 3, groups=2), nn.Conv2d(4, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = x.chunk(2, dim=1)
        return self.read(self.grouped(x)).sum() + first + second


@pytest.mark.parametrize(("unread", "left"), [([0, 3], 4), ([0, 2], 2), ([1, 3], 2), ([0, 1], 4)])
def test_compact_1_a_unit_that_stands_in_several_places_of_an_axis(unread: list[int], left: int):
    """COMPACT-1: unit 0 of each group is channel 0 and channel 2; both have to be unread"""
    model = Grouped()
    zero(model.read.weight, slice(None), unread)
    result = compacted(model, torch.randn(3, 2, 5, 5))
    assert result.module.grouped.out_channels == left


def stack(seed: int, draw: random.Random) -> tuple[Sequence, int, int]:
    """A random stack, and how many of its features and hidden units somebody reads.

    Its units are dead in some layers and directions, few of them in all.
    """
    torch.manual_seed(seed)
    kind = draw.choice([nn.LSTM, nn.GRU, nn.RNN])
    projected = draw.choice([0, 0, 2]) if kind is nn.LSTM else 0
    layers, both = draw.randint(1, 3), draw.random() < 0.5
    options = {"num_layers": layers, "bidirectional": both}
    model = Sequence(kind, **options)
    if projected:
        model = Sequence(kind, **options, proj_size=projected)
        model.head = nn.Linear(projected * (1 + both), 3)
    names = [f"l{k}{way}" for k in range(layers) for way in ["", "_reverse"][: 1 + both]]
    common = {unit for unit in range(6) if draw.random() < 0.3}
    dead, unread = [], []
    for number, name in enumerate(names):
        dead.append(sorted(common | {unit for unit in range(6) if draw.random() < 0.3}))
        weight = "hr" if projected else "hh"
        zero(getattr(model.rnn, f"weight_{weight}_{name}"), slice(None), dead[-1])
        layer, way = divmod(number, 1 + both)
        above = [getattr(model.rnn, f"weight_ih_{n}") for n in names if f"l{layer + 1}" in n]
        for reader in [] if projected else above or [model.head.weight]:
            zero(reader, slice(None), [unit + 6 * way for unit in dead[-1]])
        if layer == 0:
            unread.append([feature for feature in range(5) if draw.random() < 0.5])
            zero(getattr(model.rnn, f"weight_ih_{name}"), slice(None), unread[-1])
    hidden = 6 - len(set.intersection(*map(set, dead)))
    features = 5 - len(set.intersection(*map(set, unread)))
    return model, max(features, 1), max(hidden, projected + 1)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch takes another kernel
@pytest.mark.parametrize("seed", range(24))
def test_compact_1_stacks_whose_layers_have_other_dead_units(seed: int):
    """COMPACT-1: a unit goes if it is dead in every layer and direction, and the others do not"""
    model, features, hidden = stack(seed, random.Random(seed))
    result = compacted(model, SEQUENCE)
    assert result.module.stem.out_features == result.module.rnn.input_size == features
    assert result.module.rnn.hidden_size == hidden


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch takes another kernel
def test_compact_1_a_projection_stays_one():
    """COMPACT-1: torch would take a state that is as wide as its cells for one of no projection"""
    model = Sequence(nn.LSTM, proj_size=3)
    model.head = nn.Linear(3, 3)
    zero(model.rnn.weight_hr_l0)
    for pass_ in (CompactPass(), PruneDormantPass()):
        result = morphir.transform(model, pass_, example_inputs=(SEQUENCE,))
        assert result.report.grade is Grade.PROVED
        assert result.module.rnn.hidden_size == 4
        again = morphir.transform(result.module, pass_, example_inputs=(SEQUENCE,))
        assert again.module.rnn.hidden_size == 4


def test_compact_1_behind_dropout_and_for_every_reader():
    """COMPACT-1: nothing that is dropped is more than 0"""
    model = Dropping()
    zero(model.a.weight, 2)
    zero(model.a.bias, 2)
    zero(model.b.weight, slice(None), 4)  # but not the other branch
    result = compacted(model, X)
    assert result.module.a.out_features == 5


def test_compact_1_a_shared_layer_that_reads_its_own_units():
    """COMPACT-1: the rows and the columns of one weight are one axis"""
    model = Shared()
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
    silenced=st.lists(place, max_size=8),
    double=st.booleans(),
    seed=st.integers(0, 3),
)
def test_compact_1_on_random_nets(steps: Any, silenced: Any, double: bool, seed: int):
    """COMPACT-1: whatever is 0, what is left computes the same, and nothing is left to do"""
    torch.manual_seed(seed)
    model = Random(steps, True)
    x = X
    if double:
        model, x = model.double(), x.double()
    silence(model, silenced)
    note(f"{model} {model.plan}")
    result = compacted(model, x)
    event(f"removed: {result.report.laws[-1]}")
    assert "nothing is useless" in str(compacted(result.module, x).report)
