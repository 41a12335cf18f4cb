"""Forms: sums that cancel, types that keep zeros apart, facts that only get tighter."""

import torch

from morphir.checks.forms import Form, FormTable
from morphir.ir import TensorType
from morphir.ops import ANYTHING, Interval

VECTOR = TensorType(torch.float32, (8,))
MATRIX = TensorType(torch.float32, (8, 8))


def test_equal_keys_are_equal_atoms():
    table = FormTable()
    assert table.atom("a", VECTOR) == table.atom("a", VECTOR)
    assert table.atom("a", VECTOR) != table.atom("b", VECTOR)
    assert table.atom("a", VECTOR) != table.atom("a", MATRIX)


def test_sums_are_sets_of_terms():
    table = FormTable()
    a, b, c = (table.atom(key, VECTOR) for key in "abc")
    assert a.plus(b, 1) == b.plus(a, 1)
    assert a.plus(b, 1).plus(c, 1) == a.plus(b.plus(c, 1), 1)
    assert a.plus(b, 1).plus(b, -1) == a
    assert a.plus(a, -1).is_zero
    assert a.plus(a, 1) != a
    ((_, one),), ((_, two),) = a.terms, a.plus(a, 1).terms
    assert (one, two) == (1, 2)


def test_zeros_of_different_types_are_different():
    assert Form(VECTOR) != Form(MATRIX)
    assert Form(VECTOR).is_floating
    assert not Form(TensorType(torch.int64, (8,))).is_floating
    assert not Form(None).is_floating


def test_what_depends_on_an_input_is_followed_through_sums():
    table = FormTable()
    x = table.atom("x", VECTOR, on=None)
    w = table.atom("w", VECTOR)
    y = table.atom("y", VECTOR, on=[w, x])
    assert table.depends_on_input(y)
    assert table.depends_on_input(w.plus(y, 1))
    assert not table.depends_on_input(w)
    assert not table.depends_on_input(y.plus(y, -1))
    assert not table.depends_on_input(table.atom("z", VECTOR, on=[y.plus(y, -1)]))


def test_facts_only_get_tighter():
    table = FormTable()
    a = table.atom("a", VECTOR)
    assert table.interval(a) == ANYTHING
    table.narrow(a, Interval(0.0, 9.0))
    table.narrow(a, Interval(-5.0, 7.0))
    assert table.interval(a) == Interval(0.0, 7.0)
    assert table.interval(Form(VECTOR)) == Interval(0.0, 0.0)


def test_types_bound_booleans_and_bytes():
    table = FormTable()
    flags = table.atom("flags", TensorType(torch.bool, (8,)))
    assert table.interval(flags) == Interval(0.0, 1.0)
    assert table.interval(table.atom("n", TensorType(torch.int64, (8,)))) == ANYTHING
