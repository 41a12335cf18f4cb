"""Forms are sums of products, the major factor first."""

from morphir.ops.forms import (
    Atom,
    Product,
    Sum,
    add,
    atoms_in,
    factors_in,
    multiply,
    parts_of,
    rename,
)

H, D, A = Atom("h", 4), Atom("d", 8), Atom("a", 3)


def test_sizes_multiply_and_add():
    assert Product((H, D)).size == 32
    assert Sum((Product((H, D)), A)).size == 35


def test_a_form_of_one_part_is_the_part():
    assert multiply([H]) is H
    assert add([H]) is H


def test_atoms_are_told_apart_by_identity_not_by_name():
    assert Atom("h", 4) != H
    assert Product((H, D)) == Product((H, D))


def test_atoms_come_from_left_to_right_with_repetitions():
    assert [*atoms_in(Sum((Product((H, D)), A, A)))] == [H, D, A, A]


def test_factors_are_the_atoms_inside_a_product():
    assert [*factors_in(Sum((Product((H, D)), A)))] == [H, D]
    assert [*factors_in(A)] == []


def test_parts():
    assert parts_of(Sum((A, H))) == (A, H)
    assert parts_of(A) == ()


def test_forms_print_as_they_are_written():
    assert str(Sum((Product((H, D)), A))) == "((h:4 d:8) + a:3)"


def test_rename_keeps_products_and_sums():
    a, b, c, d = map(Atom, "abcd", (2, 3, 2, 3))
    form = Sum((Product((a, b)), a))
    assert rename(form, {a: c, b: d}) == Sum((Product((c, d)), c))
