"""Which units are dead, in terms of the sums that they reach."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import morphir
from morphir.axes import AxisGroups
from morphir.passes.units import Known, Units, some, without
from tests.backend.widenings import Attention
from tests.passes.compactions import Dropping, zero
from tests.passes.test_wider import SEQUENCE, X
from tests.passes.widenings import Sequence, mlp


def units_of(model: nn.Module, at: str, x: torch.Tensor = X) -> tuple[Units, Known]:
    program = morphir.trace(model, example_inputs=(x,))
    groups = AxisGroups(program)
    (group,) = groups.of(at)
    return Units(groups, group.atom), Known(program)


def dead(*found: Any) -> list[int]:
    units, known = found
    return np.flatnonzero(units.dead(known)).tolist()


def test_a_unit_is_dead_if_everywhere_a_factor_is_zero():
    model = Dropping()
    zero(model.b.weight, slice(None), [1, 2])
    assert dead(*units_of(model, "a")) == []
    zero(model.c.weight, slice(None), [2, 3])
    assert dead(*units_of(model, "a")) == [2]
    zero(model.a.weight, 5)
    zero(model.a.bias, 5)
    assert dead(*units_of(model, "a")) == [2, 5]


def test_the_factors_of_a_sum_are_named():
    units, _ = units_of(Attention(), "q", SEQUENCE)
    (total,) = units.totals
    assert total.node.op == "matmul"
    assert [term.is_split for term in total.terms] == [False, True]
    assert units.name == "q.weight"
    assert not total.is_hidden


def test_a_recurrent_layer_sums_inside_of_one_call():
    """What it multiplies with is not seen: its numbers have to be zero themselves."""
    model = Sequence(nn.LSTM)
    zero(model.head.weight, slice(None), [1, 2])
    units, known = units_of(model, "rnn", SEQUENCE)
    assert any(total.is_hidden for total in units.totals)
    assert dead(units, known) == []
    zero(model.rnn.weight_hh_l0, slice(None), [2, 3])
    assert dead(*units_of(model, "rnn", SEQUENCE)) == [2]


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_prune_1_the_layers_of_a_stack_share_their_units(kind: type[nn.RNNBase]):
    """PRUNE-1: a unit is dead if nobody reads it in any layer"""
    model = Sequence(kind, num_layers=2)
    top, bottom = [1, 2], [2, 3]
    zero(model.rnn.weight_hh_l1, slice(None), top)
    zero(model.head.weight, slice(None), top)
    assert dead(*units_of(model, "rnn", SEQUENCE)) == []
    zero(model.rnn.weight_hh_l0, slice(None), bottom)
    assert dead(*units_of(model, "rnn", SEQUENCE)) == []
    zero(model.rnn.weight_ih_l1, slice(None), bottom)
    assert dead(*units_of(model, "rnn", SEQUENCE)) == [2]


def test_prune_1_both_directions_read_the_same_features():
    """PRUNE-1: a unit is dead if neither does, or if it is zero"""
    model = Sequence(nn.LSTM, bidirectional=True)
    zero(model.rnn.weight_ih_l0, slice(None), [0, 1])
    zero(model.rnn.weight_ih_l0_reverse, slice(None), [1, 2])
    zero(model.stem.weight, 4)
    zero(model.stem.bias, 4)
    units, known = units_of(model, "stem", SEQUENCE)
    (total,) = units.totals
    assert sorted(map(len, total.factors)) == [1, 2]
    assert dead(units, known) == [1, 4]


def test_what_is_taken_for_zero_kills_what_only_it_reads():
    model = mlp()
    zero(model[2].weight, [0, 1, 2], 3)
    units, known = units_of(model, "0")
    assert dead(units, known) == []
    known.clear("2.weight", 0, [3, 4])
    assert dead(units, known) == [3]
    assert units.unread(known).tolist() == [False, False, False, True, False, False]
    known.clear("2.weight", 1, [5])
    known.forget()
    assert dead(units, known) == [3, 5]
    # Whether its numbers are zero is asked of the stored ones.
    assert np.flatnonzero(units.unread(known)).tolist() == [3]


def test_what_is_not_zero_is_said_to_be_copied():
    model = mlp()
    zero(model[0].weight, 1)
    zero(model[0].bias, 1)
    units, known = units_of(model, "0")
    axis_map = without(6, [1])
    tensors, _ = units._groups.resize({units.leaf: axis_map})
    assert tensors["2.weight"][1].polarity == "split"
    assert units.claims(tensors, axis_map, known)["2.weight"][1].polarity == "copy"
    zero(model[2].weight, slice(None), 1)
    units, known = units_of(model, "0")
    assert units.claims(tensors, axis_map, known) == tensors


def test_boxes_follow_from_bounds():
    model = mlp()
    with torch.no_grad():
        model[0].bias[4] = -20.0
    program = morphir.trace(model, example_inputs=(X,))
    groups = AxisGroups(program)
    units = Units(groups, groups.of("0")[0].atom)
    assert dead(units, Known(program)) == []
    assert dead(units, Known(program, {"input": (-2.0, 2.0)})) == [4]


def test_units_are_shown_shortly():
    assert some([1, 2]) == "1, 2"
    assert some(range(12)) == "0, 1, 2, 3, 4, 5, 6, 7, ..."
