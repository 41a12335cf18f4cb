"""Unification of forms: products, sums, and what has no common refinement."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from morphir.axes import AtomTable, Reason
from morphir.axes.atoms import show_sizes
from morphir.ir.axis_map import AxisMap
from morphir.ops import Atom, Form, Product, Sum
from morphir.ops.forms import add, atoms_in, multiply
from morphir.ops.lift import map_tensor

HERE = Reason("", "view", "block.1", "net.py:3")


def atoms(*sizes: int) -> list[Atom]:
    return [Atom(f"a{size}", size) for size in sizes]


def product(*sizes: int) -> Form:
    return multiply(atoms(*sizes))


def total(*sizes: int) -> Form:
    return add(atoms(*sizes))


def unified(*forms: Form) -> tuple[AtomTable, Form]:
    """The table in which one axis has all these forms, and what the axis is made of."""
    table, axis = AtomTable(), Atom("axis", forms[0].size)
    for form in forms:
        table.unify(axis, form, HERE)
    return table, table.normal_form(axis)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (product(3, 4), product(3, 4), "(3 4)"),
        (product(12, 5), product(4, 15), "(4 3 5)"),
        (product(2, 12), product(4, 6), "(2 2 6)"),
        (total(3, 9), total(7, 5), "(3 + 4 + 5)"),
        (product(6, 4), total(8, 16), "((2 4) + (4 4))"),
        (product(2, 5), total(5, 5), "(5 + 5)"),
        (Product((*atoms(1), *atoms(6))), total(2, 4), "(2 + 4)"),
        (Sum((product(2, 3), *atoms(6))), product(4, 3), "((2 3) + (2 3))"),
        (Product((Sum((*atoms(2), *atoms(3))), *atoms(4))), total(8, 12), "((2 4) + (3 4))"),
        (Product((total(1, 1), total(2, 3))), total(5, 5), "(2 + 3 + 2 + 3)"),
        (Product((total(1, 2), total(2, 3))), total(5, 10), "(2 + 3 + (2 (2 + 3)))"),
    ],
)
def test_plan_1_the_refinement_is_the_coarsest(first: Form, second: Form, expected: str):
    table, form = unified(first, second)
    assert show_sizes(form) == expected
    assert table.normal_form(first) == table.normal_form(second) == form


def test_plan_1_what_a_seam_cuts_out_of_a_product_shares_the_minor_factor():
    halves, grouped = total(5, 5), product(2, 5)
    table, _ = unified(grouped, halves)
    first, second = (table.normal_form(half) for half in halves.terms)
    assert first is second is table.normal_form(grouped.factors[1])


def test_plan_1_one_atom_refined_in_one_place_is_refined_in_all():
    table, (shared, other) = AtomTable(), atoms(12, 12)
    table.unify(shared, other, HERE)
    table.unify(other, product(3, 4), HERE)
    table.unify(shared, total(4, 8), HERE)
    assert show_sizes(table.normal_form(shared)) == "(4 + (2 4))"


@pytest.mark.parametrize(
    ("first", "second"),
    [(product(4, 6), product(6, 4)), (product(4, 6), total(8, 16))],
)
def test_plan_2_what_has_no_common_refinement_is_fixed_and_both_forms_are_named(
    first: Form, second: Form
):
    table, form = unified(first, second)
    reasons = {table.reason(leaf) for leaf in atoms_in(form)}
    assert [str(reason) for reason in reasons] == [
        f"{show_sizes(first)} and {show_sizes(second)} have no common refinement "
        "(module 'block.1', net.py:3)"
    ]


def test_plan_2_the_major_factors_before_a_clash_stay_free():
    table, form = unified(product(5, 4, 6), product(5, 6, 4))
    major, *rest = atoms_in(form)
    assert table.reason(major) is None
    assert all(table.reason(leaf) for leaf in rest)


@pytest.mark.parametrize("order", [1, -1])
def test_plan_3_what_is_equal_to_something_fixed_is_fixed_for_the_first_reason(order: int):
    table, (a, b, c) = AtomTable(), atoms(6, 6, 6)
    first, second = Reason("first"), Reason("second")
    table.fix(a, first)
    table.fix(c, second)
    for pair in [(c, b), (b, a)][::order]:
        table.unify(*pair[::order], HERE)
    assert table.reason(a) is table.reason(b) is table.reason(c) is first


@pytest.mark.parametrize("before", [True, False])
def test_plan_3_the_parts_of_something_fixed_are_fixed_but_not_what_they_are_part_of(before: bool):
    table, axis, (major, minor) = AtomTable(), Atom("axis", 12), atoms(3, 4)
    if before:
        table.fix(axis, Reason("whole"))
    table.unify(axis, Product((major, minor)), HERE)
    if not before:
        table.fix(major, Reason("part"))
    assert table.reason(major)
    assert bool(table.reason(minor)) is before


def test_a_factor_of_size_1_is_fixed():
    table, (one, other) = AtomTable(), atoms(1, 6)
    table.unify(Atom("axis", 6), Product((one, other)), HERE)
    assert table.reason(one)
    assert table.reason(other) is None


def test_plan_3_a_term_of_one_unit_that_is_multiplied_is_fixed():
    table, (one, two, four) = AtomTable(), atoms(1, 2, 4)
    form = Product((Sum((one, two)), four))
    assert show_sizes(table.normal_form(form)) == "(4 + (2 4))"
    assert table.reason(one)
    assert table.reason(two) is None


def test_forms_of_different_sizes_are_an_error():
    with pytest.raises(ValueError, match=r"cannot unify 4 with \(2 3\)"):
        AtomTable().unify(Atom("axis", 4), product(2, 3), HERE)


def test_a_sum_that_grew_term_by_term_is_flat():
    table, axis = AtomTable(), Atom("axis", 2)
    for size in range(3, 3000):
        longer = Atom("axis", size)
        table.unify(longer, Sum((axis, Atom("new", 1))), HERE)
        axis = longer
    assert len(table.normal_form(axis).terms) == 2998


@st.composite
def forms(draw: st.DrawFn, size: int, depth: int = 3) -> Form:
    kinds = ["atom"] if depth == 0 or size < 4 else ["product", "sum", "atom"]
    kind = draw(st.sampled_from(kinds))
    if kind == "product":
        divisors = [n for n in range(2, size) if size % n == 0]
        assume(divisors)
        major = draw(st.sampled_from(divisors))
        return Product((draw(forms(major, depth - 1)), draw(forms(size // major, depth - 1))))
    if kind == "sum":
        low = draw(st.integers(1, size - 1))
        return Sum((draw(forms(low, depth - 1)), draw(forms(size - low, depth - 1))))
    return Atom("a", size)


@given(st.data(), st.sampled_from([8, 12, 24, 36]), st.randoms())
def test_plan_1_a_free_leaf_moves_the_same_units_through_every_form(data, size, random):
    given_forms = [data.draw(forms(size)) for _ in range(3)]
    table, _ = unified(*given_forms)
    found = [table.normal_form(form) for form in given_forms]
    leaves = dict.fromkeys(leaf for form in found for leaf in atoms_in(form))
    units = torch.arange(size)
    for leaf in leaves:
        if table.reason(leaf) is None:
            order = random.sample(range(leaf.size), leaf.size)
            maps = {leaf: AxisMap.copies(leaf.size, order)}
            moved = {tuple(map_tensor(units, (f,), maps, [["copy"] * 99]).tolist()) for f in found}
            assert len(moved) == 1
    if not any(map(table.reason, leaves)):
        assert len(set(found)) == 1
