"""Copies are found by their numbers, and so is the widening that made them."""

from fractions import Fraction

import pytest
import torch

import morphir
from morphir.axes import AxisGroups
from morphir.passes.copies import copies_in, widening_to
from morphir.passes.units import Known, Units
from tests.passes.test_wider import SEQUENCE, X
from tests.passes.widenings import Encoder, mlp, wide


def units_of(model, at, x=X):
    program = morphir.trace(model, example_inputs=(x,))
    groups = AxisGroups(program)
    return Units(groups, groups.of(at)[0].atom), Known(program)


@pytest.mark.parametrize("width", [10, 48, 192])
def test_state_18_the_sources_and_the_signs_of_the_shares_come_back(width: int):
    """COMPACT-2, STATE-18: however small the shares are"""
    result = wide(mlp(), "0", X, width=width)
    (made,) = {axis.map for axis in result.certificate.tensors["0.weight"] if axis.map}
    units, known = units_of(result.module, "0")
    first = copies_in(units, known)
    found, guessed = widening_to(units, known, first)
    assert not guessed
    assert found.source == made.source
    assert [s > 0 for s in found.share] == [s > 0 for s in made.share]
    assert 0.7 < found.growth / made.growth < 1.5


def test_copies_are_found_wherever_they_are():
    model = mlp()
    with torch.no_grad():
        for unit in (2, 3, 5):
            model[0].weight[unit] = model[0].weight[0]
            model[0].bias[unit] = model[0].bias[0]
    units, known = units_of(model, "0")
    first = copies_in(units, known)
    assert first == [0, 1, 0, 0, 4, 0]
    assert widening_to(units, known, first)[0].source == (0, 1, 0, 0, 2, 0)


def test_what_nothing_reads_has_equal_shares():
    model = mlp()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[2].weight[:, :2] = 0
    units, known = units_of(model, "0")
    axis_map, guessed = widening_to(units, known, copies_in(units, known))
    assert axis_map.share[:2] == (Fraction(1, 2), Fraction(1, 2))
    assert guessed == [0]


def test_state_18_signs_that_the_numbers_do_not_agree_on_are_guessed():
    """STATE-18: two copies whose readers were trained apart"""
    model = mlp()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[2].weight[:, 0] = torch.tensor([5.0, 5, 5, 5, 5])
        model[2].weight[:, 1] = torch.tensor([-1.0, -1, -1, -1, 1])
    units, known = units_of(model, "0")
    axis_map, guessed = widening_to(units, known, copies_in(units, known))
    assert axis_map.share[0] > 1
    assert axis_map.share[1] < 0
    assert guessed == [0]


def test_heads_are_copies_as_a_whole():
    model = Encoder()
    units, known = units_of(model, "layer.linear1", SEQUENCE)
    assert copies_in(units, known) == [*range(6)]
