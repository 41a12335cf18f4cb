"""Roles are inferred as in einsum, and say which maps and polarities they accept."""

import doctest
from pathlib import Path

import pytest

from morphir.ir.axis_map import FRESH, AxisMap
from morphir.ops.axes import Role, Site, linear_layout, make_layout
from morphir.ops.forms import Atom, Product
from tests.ops.layouts import layout_of, zeros

I, O, B = Atom("i", 3), Atom("o", 4), Atom("b", 2)  # noqa: E741
IDENTITY = AxisMap.identity(3)
PERMUTED = AxisMap.copies(3, (2, 0, 1))
TWICE = AxisMap.copies(3, (0, 1, 2, 0, 1, 2))
UNEQUAL = AxisMap.copies(3, (0, 1, 2, 0))
DROPPED = AxisMap.copies(3, (0, 1))
WITH_FRESH = AxisMap.copies(3, (0, 1, 2, FRESH))


def test_axis_5_roles_are_inferred_as_in_einsum():
    """AXIS-5, on a Linear without bias: `b i, o i -> b o`, and an axis that nothing else has."""
    new, index = Atom("new", 5), Atom("v", 6)
    layout = make_layout([(B, I), (O, I), (index,)], [(B, O, new)])
    kinds = {atom.name: role.kind for atom, role in layout.roles.items()}
    assert kinds == {"b": "map", "i": "each", "o": "map", "v": "fixed", "new": "fixed"}


def test_axis_6_factors_of_size_1_and_broadcast_axes_are_fixed():
    """AXIS-6: else depthwise convolutions would seem to have room within their groups."""
    one = Atom("one", 1)
    assert make_layout([(Product((B, one)),)], [(Product((B, one)),)]).roles[one].maps == "identity"
    assert make_layout([(one,)], [(one,)]).roles[one].maps == "any"
    layout = layout_of("add", input=zeros(3, 1), other=zeros(3, 4))
    assert layout.roles[layout.operands[0][1]].maps == "identity"


def test_axis_7_one_side_of_a_contraction_is_split_and_the_other_copied():
    """AXIS-7."""
    role = make_layout([(B, I), (O, I)], [(B, O)]).roles[I]
    assert set(role.ways) == {("copy", "split"), ("split", "copy")}


def test_what_is_linear_is_copied_or_split_throughout():
    role = linear_layout([(I,)], [(I,)]).roles[I]
    assert set(role.ways) == {("copy", "copy"), ("split", "split")}


def test_what_is_linear_in_each_operand_splits_in_one_of_them():
    role = make_layout([(I,), (I,)], [(I,)], {I: "each"}).roles[I]
    assert set(role.ways) == {
        ("copy", "copy", "copy"),
        ("split", "copy", "split"),
        ("copy", "split", "split"),
    }


def test_a_contraction_may_list_the_dimensions_that_are_split():
    """A recurrent weight has its hidden axis twice: its rows are copied, its columns split."""
    columns, state = frozenset([(0, 1)]), frozenset([(1, 0)])
    role = make_layout([(I, I), (I,)], [(I,)], {I: (columns, state)}).roles[I]
    assert role.ways == (("copy", "split", "copy", "copy"), ("copy", "copy", "split", "copy"))
    assert (role.kind, role.maps) == ("each", "any")


def test_a_set_of_operands_is_split_together_with_the_outputs():
    role = make_layout([(I,), (I,), (I,)], [(I,)], {I: frozenset([1, 2])}).roles[I]
    assert set(role.ways) == {("copy",) * 4, ("copy", "split", "split", "split")}


def test_a_diagonal_is_fixed():
    assert make_layout([(I, I)], [(I,)], {I: "each"}).roles[I].maps == "identity"


def test_sites_are_listed_operands_first():
    layout = make_layout([(B, Product((I, O)))], [(B, O)])
    assert layout.sites[O] == (Site(False, 0, 1, 1), Site(True, 0, 1, 0))


@pytest.mark.parametrize(
    ("maps", "accepted"),
    [
        ("any", {"identity", "permuted", "twice", "unequal", "dropped", "fresh"}),
        ("onto", {"identity", "permuted", "twice", "unequal"}),
        ("equal", {"identity", "permuted", "twice"}),
        ("permutation", {"identity", "permuted"}),
        ("identity", {"identity"}),
    ],
)
def test_a_role_accepts_its_maps(maps, accepted):
    every = {
        "identity": IDENTITY,
        "permuted": PERMUTED,
        "twice": TWICE,
        "unequal": UNEQUAL,
        "dropped": DROPPED,
        "fresh": WITH_FRESH,
    }
    way = ("copy", "copy")
    role = Role("", maps, (way,))
    assert {name for name, axis_map in every.items() if role.accepts(axis_map, way)} == accepted


def test_a_split_drops_no_unit():
    role = Role("lin", "any", (("copy", "copy"), ("split", "split")))
    assert role.accepts(DROPPED, ("copy", "copy"))
    assert not role.accepts(DROPPED, ("split", "split"))
    assert role.accepts(WITH_FRESH, ("split", "split"))
    assert not role.accepts(TWICE, ("copy", "split")), "no such way"


def test_a_layout_prints_forms_roles_and_what_must_follow():
    layout = layout_of("getitem", input=zeros(2, 6), index=(slice(None), slice(1, 4)))
    assert str(layout) == (
        "[kept:2, (before:1 + kept:3 + after:2)] -> [kept:2, kept:3] | "
        "lin kept; unused before; lin kept; unused after; "
        "index[1].start = before:1; index[1].stop = (before:1 + kept:3)"
    )


def test_the_examples_of_the_specification_are_true():
    page = Path(__file__).parents[2] / "spec" / "axes.md"
    results = doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert results.attempted > 10
    assert results.failed == 0
