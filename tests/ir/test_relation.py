"""REL-1 and REL-2: what a relation says, and how it is put together and taken apart."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from morphir.ir import FREE, FRESH, ZERO, AxisMap, Relation
from tests.ir.changes import atoms, maps


@given(maps())
def test_rel_1_a_copied_atom_has_one_part_for_each_unit(axis_map: AxisMap):
    relation = Relation.copied(axis_map)
    assert relation.is_copied
    assert [*relation.source] == [FREE if i == FRESH else i for i in axis_map.source]
    assert sorted(relation.group) == [*range(axis_map.size)]


@given(maps())
def test_rel_1_on_a_split_axis_every_position_takes_a_part_of_its_own(axis_map: AxisMap):
    relation = Relation.split(axis_map)
    assert [*relation.source] == [ZERO if i == FRESH else i for i in axis_map.source]
    taken = relation.take[relation.take >= 0]
    assert [*taken] == [*range(len(relation.group))]


def test_rel_1_equal_relations_say_the_same():
    """Parts have no numbers of their own; a permutation is a copy and a split at once."""
    assert Relation.of(2, [1, 0], [0, 1]) == Relation.of(2, [0, 1], [1, 0])
    assert Relation.of(2, [0, 1], [0, 1]) != Relation.of(2, [0, 1], [1, 0])
    turned = AxisMap.copies(3, (2, 0, 1))
    assert Relation.copied(turned) == Relation.split(turned)
    assert hash(Relation.copied(turned)) == hash(Relation.split(turned))
    dropped = AxisMap.copies(2, (0,))
    assert Relation.copied(dropped) != Relation.split(dropped)
    assert Relation.identity(3) != 3


@given(st.lists(atoms(onto=True), min_size=2, max_size=3))
def test_rel_2_a_product_can_be_taken_apart(factors):
    relations = [factor.relation for factor in factors]
    sizes, new = [f.size for f in factors], [f.new_size for f in factors]
    whole = Relation.product(relations)
    found = whole.factors(sizes, new)
    assert found is not None
    assert Relation.product(found) == whole
    if all((relation.take >= 0).all() for relation in relations):
        assert found == relations


@given(st.lists(atoms(), min_size=2, max_size=3))
def test_rel_2_a_sum_can_be_taken_apart(terms):
    relations = [term.relation for term in terms]
    sizes, new = [t.size for t in terms], [t.new_size for t in terms]
    assert Relation.sum(relations).terms(sizes, new) == relations


@given(maps(onto=True), st.integers(2, 3))
def test_rel_2_positions_of_a_product_are_in_mixed_radix(axis_map: AxisMap, size: int):
    copied = Relation.copied(axis_map)
    source = Relation.product([copied, Relation.identity(size)]).source.reshape(-1, size)
    for j, unit in enumerate(copied.source):
        expected = [FREE] * size if unit == FREE else [unit * size + k for k in range(size)]
        assert [*source[j]] == expected


def test_rel_2_what_is_no_product_and_no_sum_is_refused():
    swapped = Relation.of(4, [0, 2, 1, 3], [0, 1, 2, 3])
    assert swapped.factors([2, 2], [2, 2]) is None
    assert swapped.terms([2, 2], [2, 2]) is None
    assert swapped.factors([4], [4]) == [swapped]
    assert swapped.factors([4], [5]) is None
    assert swapped.factors([2, 3], [2, 3]) is None
    assert Relation.identity(4).factors([2, 2], [4, 1]) is None
    assert Relation.of(4, [FREE] * 4, range(4)).factors([2, 2], [2, 2]) is None


def test_axis_9_where_a_copied_and_a_split_factor_are_both_fresh_it_is_zero():
    fresh = AxisMap(1, (0, FRESH), (Fraction(1), Fraction(0)))
    both = Relation.product([Relation.copied(fresh), Relation.split(fresh)])
    assert np.array_equal(both.take, [0, ZERO, FREE, ZERO])
