"""Copies are found by their numbers, and so is the widening that made them."""

from fractions import Fraction

import torch

import morphir
from morphir.axes import AxisGroups
from morphir.ir import FRESH
from morphir.passes.copies import copies_in, widening_to
from morphir.passes.units import Known, Units
from tests.passes.test_wider import SEQUENCE, X
from tests.passes.widenings import Encoder, mlp, wide


def units_of(model, at, x=X):
    program = morphir.trace(model, example_inputs=(x,))
    groups = AxisGroups(program)
    return Units(groups, groups.of(at)[0].atom), Known(program)


def test_compact_2_the_sources_and_the_signs_of_the_shares_come_back():
    """COMPACT-2"""
    result = wide(mlp(), "0", X, width=10)
    (made,) = {axis.map for axis in result.certificate.tensors["0.weight"] if axis.map}
    units, known = units_of(result.module, "0")
    first = copies_in(units, known)
    found = widening_to(units, known, first)
    assert found.source == made.source
    assert [s > 0 for s in found.share] == [s > 0 for s in made.share]
    assert max(abs(a - b) for a, b in zip(found.share, made.share, strict=True)) <= Fraction(1, 64)


def test_units_that_go_are_copies_of_none():
    model = mlp()
    with torch.no_grad():
        for unit in (2, 3, 5):
            model[0].weight[unit] = model[0].weight[0]
            model[0].bias[unit] = model[0].bias[0]
    units, known = units_of(model, "0")
    assert copies_in(units, known) == [0, 1, 0, 0, 4, 0]
    first = copies_in(units, known, apart=[0, 3])
    assert first == [0, 1, 2, 3, 4, 2]
    assert widening_to(units, known, first, [0, 3]).source == (FRESH, 0, 1, FRESH, 2, 1)


def test_what_nothing_reads_has_equal_shares():
    model = mlp()
    with torch.no_grad():
        model[0].weight[1], model[0].bias[1] = model[0].weight[0], model[0].bias[0]
        model[2].weight[:, :2] = 0
    units, known = units_of(model, "0")
    axis_map = widening_to(units, known, copies_in(units, known))
    assert axis_map.share[:2] == (Fraction(1, 2), Fraction(1, 2))


def test_heads_are_copies_as_a_whole():
    model = Encoder()
    units, known = units_of(model, "layer.linear1", SEQUENCE)
    assert copies_in(units, known) == [*range(6)]
