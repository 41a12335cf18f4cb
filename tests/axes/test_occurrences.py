"""Which atom of a layout each place of a leaf came from."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir.axes import AtomTable, Reason
from morphir.axes.occurrences import occurrences
from morphir.ops import Atom, Form, Product, Sum
from morphir.ops.forms import atoms_in, parts_of
from tests.axes.test_atoms import forms


def table_of(**made_of: tuple[Atom, Form]) -> AtomTable:
    table = AtomTable()
    for atom, form in made_of.values():
        table.unify(atom, form, Reason("", "view"))
    return table


def test_an_atom_that_is_not_refined_stands_for_itself():
    atom = Atom("a", 4)
    assert occurrences(AtomTable(), atom, atom) == [(0, 0)]


def test_places_are_counted_by_atom_and_inside_each_atom():
    leaf, first, second = Atom("leaf", 3), Atom("first", 7), Atom("second", 6)
    table = table_of(first=(first, Sum((leaf, Atom("x", 4)))), second=(second, Sum((leaf, leaf))))
    assert occurrences(table, Sum((first, second)), leaf) == [(0, 0), (1, 0), (1, 1)]


def test_a_factor_behind_a_sum_stands_once_in_every_term():
    major, minor = Atom("major", 5), Atom("minor", 4)
    table = table_of(major=(major, Sum((Atom("a", 2), Atom("b", 3)))))
    assert occurrences(table, Product((major, minor)), minor) == [(1, 0), (1, 0)]


def test_a_sum_behind_a_factor_stays_together():
    minor, (a, b) = Atom("minor", 5), (Atom("a", 2), Atom("b", 3))
    table = table_of(minor=(minor, Sum((a, b))))
    form = Product((Atom("major", 4), minor, Atom("last", 2)))
    assert [occurrences(table, form, leaf) for leaf in (a, b)] == [[(1, 0)], [(1, 0)]]


@pytest.mark.parametrize("halves", [1, 2])
def test_terms_of_one_unit_leave_what_stands_behind_them(halves: int):
    """PLAN-1: `(1 + 1) (a + b) = (a + b) + (a + b)`."""
    major, inner = Atom("major", 2), Sum((Atom("a", 2), Atom("b", 3)))
    table = table_of(major=(major, Sum((Atom("one", 1), Atom("one", 1)))))
    form = Product((major, inner)) if halves == 2 else inner
    assert len([*atoms_in(table.normal_form(form))]) == 2 * halves
    assert occurrences(table, form, inner.terms[0]) == [(halves - 1, 0)] * halves


def leaves_in(table: AtomTable, form: Form) -> set[Atom]:
    """What a form is made of; a normal form leaves out a term of one unit that is a factor."""
    opened = table.opened(form)
    return set().union(*(leaves_in(table, part) for part in parts_of(opened))) or {opened}


@given(st.data(), st.sampled_from([8, 12, 24]))
def test_there_is_one_label_for_each_place_in_the_normal_form(data: st.DataObject, size: int):
    assert_one_label_each(*(data.draw(forms(size)) for _ in range(3)))


def test_a_term_of_one_unit_that_is_a_factor_has_its_label():
    one, three = Atom("one", 1), Atom("three", 3)
    product = Product((Atom("a", 2), Product((Sum((one, three)), Atom("b", 3)))))
    assert_one_label_each(product, Atom("c", 24), Product((Atom("d", 2), Atom("e", 12))))


def assert_one_label_each(*given_forms: Form) -> None:
    table, axis = AtomTable(), Atom("axis", given_forms[0].size)
    for form in given_forms:
        table.unify(axis, form, Reason("", "view"))
    for form in given_forms:
        leaves = [*atoms_in(table.normal_form(form))]
        for leaf in dict.fromkeys(leaf for leaf in leaves if not table.reason(leaf)):
            labels = occurrences(table, form, leaf)
            assert len(labels) == leaves.count(leaf)
            atoms = dict(zip(count(), atoms_in(form), strict=False))
            assert all(leaf in leaves_in(table, atoms[k]) for k, _ in labels)
