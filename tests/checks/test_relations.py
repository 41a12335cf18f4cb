"""CERT-11: the rules for one atom, against sums that are computed."""

import numpy as np
import pytest
from hypothesis import given

from morphir.checks.rejection import Rejection
from morphir.checks.relations import compose, constant, decompose, relate
from morphir.checks.uniform import Uniform
from morphir.ir import AxisMap, Relation
from morphir.ops.axes import make_layout
from morphir.ops.forms import Atom, Product, Sum
from tests.ir.changes import maps

THREE = AxisMap.copies(3, (0, 1, 2, 1))
COPIED, SPLIT = Relation.copied(THREE), Relation.split(THREE)
FRESH = Relation.split(AxisMap.copies(3, (0, 1, 2, -1)))


def copied(*source: int) -> Relation:
    """Three units, copied."""
    return Relation.copied(AxisMap.copies(3, source))


def role_of(kind, *operands: str, output: bool = False):
    """The role of an atom `x` that stands in some operands, and maybe in the output."""
    x, y = Atom("x", 3), Atom("y", 5)
    ins = [(x,) if name == "x" else (y,) for name in operands]
    layout = make_layout(ins, [(x,)] if output else [(y,)], {x: kind} if kind else {})
    return layout.roles[x], layout.sites[x]


@pytest.mark.parametrize(
    ("kind", "operands", "output", "given", "expected"),
    [
        ("map", "x", True, [COPIED], COPIED),
        ("map", "x", True, [SPLIT], Rejection),
        ("map", "xx", True, [COPIED, COPIED], COPIED),
        ("map", "xx", True, [COPIED, None], Rejection),
        ("lin", "x", True, [SPLIT], SPLIT),
        ("lin", "xx", True, [SPLIT, SPLIT], SPLIT),
        ("lin", "xx", True, [SPLIT, COPIED], Rejection),
        (frozenset([0]), "xx", True, [SPLIT, COPIED], SPLIT),
        (frozenset([0]), "xx", True, [COPIED, SPLIT], Rejection),
        ("each", "xx", True, [COPIED, SPLIT], SPLIT),
        ("each", "xx", True, [SPLIT, SPLIT], Rejection),
        (
            "each",
            "xx",
            True,
            [copied(0, 1, 2, -1), FRESH],
            FRESH,
        ),
        ("each", "xx", True, [copied(1, 1, 2, 1), SPLIT], Rejection),
        (None, "xx", False, [COPIED, SPLIT], None),
        (None, "xx", False, [COPIED, COPIED], Rejection),
        (None, "xx", False, [SPLIT, SPLIT], Rejection),
        ("sum", "x", False, [SPLIT], None),
        ("sum", "x", False, [COPIED], Rejection),
        ("fixed", "x", True, [COPIED], Rejection),
        ("stat", "x", True, [COPIED], Rejection),
        ("stat", "x", True, [copied(0, 1, 2, 0, 1, 2)], "same"),
        ("stat", "x", True, [copied(2, 0, 1)], "same"),
        ("stat", "x", True, [copied()], Rejection),
        ("extremum", "x", False, [COPIED], None),
        ("extremum", "x", False, [copied(0, 1)], Rejection),
        ("norm", "x", False, [COPIED], Rejection),
        ("norm", "x", False, [copied(2, 0, 1)], None),
        ("unused", "x", False, [SPLIT], None),
        ("zero", "x", True, [SPLIT], Uniform.constant(3, 4)),
        ("uniform", "x", True, [SPLIT], Uniform.constant(3, 4)),
        ("zero", "x", False, [SPLIT], None),
        ("map", "x", True, [Uniform.constant(3, 4)], Uniform.constant(3, 4)),
        ("map", "xx", True, [Uniform.constant(3, 4), COPIED], COPIED),
        (None, "xx", False, [Uniform.constant(3, 4), SPLIT], None),
        *[
            (kind, "x", True, [Uniform.constant(3, 4)], Rejection)
            for kind in ("fixed", "stat", "sum", "norm")
        ],
    ],
)
def test_cert_11_an_op_keeps_the_relations_that_its_role_allows(
    kind, operands, output, given, expected
):
    role, sites = role_of(kind, *operands, output=output)
    if expected is Rejection:
        with pytest.raises(Rejection, match="CERT-11"):
            relate(role, sites, given)
        return
    assert relate(role, sites, given) == (given[0] if expected == "same" else expected)


RECURRENT = (frozenset({(0, 1)}),)  # the second axis of a matrix is summed, the first one is left
ALL_SPLIT = (frozenset({(0, 0), (0, 1)}),)


@pytest.mark.parametrize(
    ("flow", "given", "expected"),
    [
        (RECURRENT, [COPIED, SPLIT], COPIED),
        (RECURRENT, [COPIED, COPIED], Rejection),
        (RECURRENT, [SPLIT, SPLIT], Rejection),
        (RECURRENT, [COPIED, Relation.split(AxisMap.copies(3, (1, 0, 2, 1)))], Rejection),
        (ALL_SPLIT, [SPLIT, SPLIT], Rejection),
    ],
)
def test_cert_11_a_recurrent_matrix_has_copies_that_meet_splits(flow, given, expected):
    atom = Atom("x", 3)
    layout = make_layout([(atom, atom)], [(atom,)], {atom: flow})
    if expected is Rejection:
        with pytest.raises(Rejection, match="CERT-11"):
            relate(layout.roles[atom], layout.sites[atom], given)
    else:
        assert relate(layout.roles[atom], layout.sites[atom], given) == expected


def related_in(flow, count: int, given: list[Relation]) -> Relation | None:
    """The outcome for an atom in several operands and no output."""
    atom = Atom("x", given[0].size)
    layout = make_layout([(atom,)] * count, [()], {atom: flow} if flow else {})
    return relate(layout.roles[atom], layout.sites[atom], given)


def test_cert_11_every_pair_of_parts_may_be_a_product_of_three():
    one = Relation.of(2, [0, 1, 1, 2, 2], [0, 1, 1])
    other = Relation.of(2, [0, 1, 2, 1, 2], [0, 1, 1])
    third = Relation.copied(AxisMap.copies(2, (0, 1, 1, 1, 1)))
    assert related_in(None, 3, [one, other, third]) is None
    for wrong in ([one, one, third], [one, other, Relation.copied(AxisMap.copies(2, (1,) * 5))]):
        with pytest.raises(Rejection, match="CERT-11"):
            related_in(None, 3, wrong)


def test_cert_11_no_operand_is_passed_over():
    """Either of two may be split; the third one is copied whichever is."""
    either = (frozenset({(0, 0)}), frozenset({(1, 0)}))
    assert related_in(either, 3, [COPIED, SPLIT, COPIED]) is None
    with pytest.raises(Rejection, match="CERT-11"):
        related_in(either, 3, [COPIED, SPLIT, copied(1, 1, 2, 1)])
    with pytest.raises(Rejection, match="CERT-11"):
        related_in((frozenset({(0, 0), (1, 0)}),), 2, [SPLIT, SPLIT])


def test_cert_11_a_change_of_what_is_fixed_is_told_from_parts_that_meet():
    for kind, reason in (("fixed", "that is fixed here"), ("map", "where only whole units may")):
        with pytest.raises(Rejection, match=reason):
            relate(*role_of(kind, "x", output=True), [SPLIT])


@given(maps(), maps())
def test_cert_11_a_product_of_sums_is_accepted_only_if_it_is_one(first: AxisMap, second: AxisMap):
    """Random parts on both sides: what is accepted has the old sum, whatever the numbers."""
    size = min(first.size, second.size)
    first, second = (
        AxisMap.copies(size, [i if i < size else 0 for i in each.source][:4])
        for each in (first, second)
    )
    x, y = Relation.copied(first), Relation.split(second)
    if x.new_size != y.new_size:
        return
    atom = Atom("x", size)
    layout = make_layout([(atom,), (atom,)], [()])
    try:
        relate(layout.roles[atom], layout.sites[atom], [x, y])
    except Rejection:
        return
    old, parts = np.random.default_rng(0).normal(size=(2, max(size, len(y.group))))
    total = sum(
        old[unit] * parts[part] for unit, part in zip(x.source, y.take, strict=True) if part >= 0
    )
    wanted = sum(old[unit] * parts[part] for part, unit in enumerate(y.group))
    assert total == pytest.approx(wanted, abs=1e-12)


def test_cert_11_what_one_operand_holds_twice_is_not_counted_pair_by_pair():
    """CERT-11: as the op of a user's own table may sum both axes of a matrix."""
    one = Relation.of(2, [0, 1, 1, 2, 2], [0, 1, 1])
    other = Relation.of(2, [0, 1, 2, 1, 2], [0, 1, 1])
    atom = Atom("x", 2)
    either = {atom: (frozenset({(0, 0)}), frozenset({(0, 1)}))}
    layout = make_layout([(atom, atom)], [()], either)
    with pytest.raises(Rejection, match="where only whole units may"):
        relate(layout.roles[atom], layout.sites[atom], [one, other])
    apart = make_layout([(atom,), (atom,)], [()])
    assert relate(apart.roles[atom], apart.sites[atom], [one, other]) is None


def test_cert_11_free_units_meet_zeros_only():
    fresh = AxisMap.copies(2, (0, 1, -1))
    role, sites = role_of(None, "x", "x")
    assert relate(role, sites, [Relation.copied(fresh), Relation.split(fresh)]) is None
    with pytest.raises(Rejection, match="leaves one out"):
        relate(role, sites, [Relation.copied(fresh), Relation.split(AxisMap.copies(2, (0, 1, 1)))])


def test_cert_11_an_axis_is_taken_apart_as_its_form_says():
    h, d, k = Atom("h", 3), Atom("d", 2), Atom("k", 1)
    new = Sum((Product((Atom("h", 4), Atom("d", 2))), Atom("k", 1)))
    form = Sum((Product((h, d)), k))
    whole = Relation.sum([Relation.product([COPIED, Relation.identity(2)]), Relation.identity(1)])
    assert decompose(form, new, whole) == [COPIED, None, None]
    assert compose(form, iter([COPIED, None, None])) == whole
    assert compose(form, iter([None, None, None])) is None
    with pytest.raises(Rejection, match="across its parts"):
        decompose(Sum((Atom("a", 3), Atom("b", 4))), Sum((Atom("a", 2), Atom("b", 7))), whole)
    with pytest.raises(Rejection, match="became one of"):
        decompose(h, Atom("h", 4), None)
    one, two = Atom("a", 2), Atom("b", 2)
    others = [(form, h), (Sum((one, two)), Product((one, two))), (Sum((h, d)), Sum((h, d, k)))]
    for was, now in others:
        with pytest.raises(Rejection, match="an axis was"):
            decompose(was, now, None)


def test_cert_11_a_constant_follows_whole_axes_only():
    h, d = Atom("h", 3), Atom("d", 2)
    form = Product((h, d))
    uniform = Uniform.constant(6, 8)
    assert decompose(form, Product((Atom("h", 4), Atom("d", 2))), uniform) == [
        Uniform.constant(3, 4),
        Uniform.constant(2, 2),
    ]
    assert compose(form, iter([Uniform.constant(3, 4), Uniform.constant(2, 2)])) == uniform
    with pytest.raises(Rejection, match="meets another axis"):
        compose(form, iter([Uniform.constant(3, 4), COPIED]))
    assert constant(3, 3) is None


def test_cert_11_the_terms_of_a_sum_have_kinds_of_their_own():
    h, k = Atom("h", 3), Atom("k", 1)
    known = Uniform((0, 0, 1, 2), (0, 0, 1, 1, 2))
    found = decompose(Sum((h, k)), Sum((Atom("h", 4), k)), known)
    assert found == [Uniform((0, 0, 1), (0, 0, 1, 1)), Uniform((2,), (2,))]
    assert compose(Sum((h, k)), iter(found)) == known


def test_cert_11_what_repeats_an_axis_is_of_its_kinds():
    """`repeat_interleave`, once more for each of two heads; and the view that takes it apart."""
    heads, times = Atom("h", 2), Atom("r", 2)
    form, new = Product((heads, times)), Product((Atom("h", 2), Atom("r", 3)))
    repeated = compose(form, iter([None, Uniform.constant(2, 3)]))
    assert repeated == Uniform((0, 0, 1, 1), (0, 0, 0, 1, 1, 1))
    assert decompose(form, new, repeated) == [None, Uniform.constant(2, 3)]
    with pytest.raises(Rejection, match="across its parts"):
        decompose(form, Product((Atom("h", 3), Atom("r", 2))), repeated)
    role, sites = role_of("map", "xx", output=True)
    with pytest.raises(Rejection, match="sizes"):
        relate(role, sites, [Uniform.constant(3, 4), None])
    assert relate(role, sites, [Uniform.constant(3, 3), None]) == Uniform.identity(3)


def test_cert_11_what_is_multiplied_with_several_is_summed_with_each():
    """A state that both directions of a recurrent layer read: 0 in unit 1, and unread in unit 2."""
    state, read = Relation.of(3, [0], [0, 2]), Relation.of(3, [0], [0, 1])
    atom = Atom("x", 3)
    flow = (frozenset([(1, 0), (2, 0)]), frozenset([(0, 0)]))
    layout = make_layout([(atom,)] * 3, [()], {atom: flow})
    role, sites = layout.roles[atom], layout.sites[atom]
    assert relate(role, sites, [state, read, read]) is None
    whole = Relation.of(3, [0], [0, 1, 2])
    for others in ([whole, read], [read, whole], [whole, whole]):
        with pytest.raises(Rejection, match="leaves one out"):
            relate(role, sites, [state, *others])
    split = Relation.split(AxisMap.copies(3, (0, 1, 2, 1)))
    copies = copied(0, 1, 2, 1)
    assert relate(role, sites, [copies, split, split]) is None
    assert relate(role, sites, [split, copies, copies]) is None
    for wrong in ([copies, copies, split], [split, split, copies], [copies, split, copies]):
        with pytest.raises(Rejection, match="CERT-11"):
            relate(role, sites, wrong)
