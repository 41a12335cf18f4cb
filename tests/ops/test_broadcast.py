"""Elementwise ops and reductions: which axes pass what."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.layouts import check_layout_of, forms_of, layout_of, roles_of, zeros

SIZES = st.sampled_from([1, 2, 3])


@st.composite
def broadcast_shapes(draw, count: int):
    """Shapes that broadcast to one another."""
    full = draw(st.lists(SIZES, max_size=3))
    shapes = []
    for _ in range(count):
        shape = [size if draw(st.booleans()) else 1 for size in full]
        shapes.append(tuple(shape[draw(st.integers(0, len(shape))) :]))
    return shapes


@given(broadcast_shapes(3))
def test_axis_4_any_broadcast_commutes_with_what_its_layout_admits(shapes):
    """AXIS-4."""
    generator = torch.Generator().manual_seed(0)
    x, y, z = (torch.rand(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    for name in ("add", "mul", "div", "maximum"):
        check_layout_of(name, input=x, other=y)
    check_layout_of("where", condition=z > 0.5, input=x, other=y)
    check_layout_of("lerp", input=x, end=y, weight=z)


@given(st.lists(SIZES, min_size=1, max_size=3), st.data())
def test_axis_4_any_reduction_commutes_with_what_its_layout_admits(shape, data):
    """AXIS-4."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    axes = st.sets(st.integers(0, len(shape) - 1), min_size=1)
    dim = data.draw(st.none() | axes.map(tuple))
    keepdim = data.draw(st.booleans())
    for name in ("mean", "sum", "norm"):
        check_layout_of(name, input=x, dim=dim, keepdim=keepdim)
    check_layout_of("amax", input=x, dim=dim or (), keepdim=keepdim)
    check_layout_of("var", input=x, dim=dim, keepdim=keepdim, correction=0)


def test_axis_4_what_cancels_cancels_up_to_the_rounding_of_the_operands():
    """AXIS-4: the variance of one number is 0, that of three copies of it 3e-33."""
    x = torch.rand((3, 1, 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    check_layout_of("var", input=x, dim=(1,), keepdim=False, correction=0)


def ways(name, **arguments):
    layout = layout_of(name, **arguments)
    return {atom.name: set(role.ways) for atom, role in layout.roles.items()}


def test_a_sum_passes_a_split_along_axes_that_both_operands_have():
    found = ways("add", input=zeros(3, 4), other=zeros(4))
    assert found["d1"] == {("copy",) * 3, ("split",) * 3}
    assert found["d0"] == {("copy", "copy")}


def test_a_number_stops_splits_in_a_sum_but_not_in_a_product():
    assert ways("add", input=zeros(3), other=2.0)["d0"] == {("copy", "copy")}
    assert ("split", "split") in ways("mul", input=zeros(3), other=2.0)["d0"]


def test_a_quotient_is_linear_in_its_numerator_only():
    found = ways("div", input=zeros(3), other=zeros(3))["d0"]
    assert found == {("copy",) * 3, ("split", "copy", "split")}
    assert ways("div", input=2.0, other=zeros(3))["d0"] == {("copy", "copy")}


def test_a_choice_passes_a_split_in_both_branches():
    found = ways("where", condition=zeros(3) > 0, input=zeros(3), other=zeros(3))["d0"]
    assert found == {("copy",) * 4, ("copy", "split", "split", "split")}


def test_an_axis_of_size_1_that_both_have_is_one_axis():
    assert forms_of("mul", input=zeros(2, 1), other=zeros(2, 1)) == (
        "[d0:2, d1:1], [d0:2, d1:1] -> [d0:2, d1:1]"
    )


@pytest.mark.parametrize(
    ("name", "more", "kinds"),
    [
        ("mean", {}, {"d0": "lin", "d1": "stat"}),
        ("sum", {}, {"d0": "lin", "d1": "sum"}),
        ("amax", {}, {"d0": "map", "d1": "extremum"}),
        ("var", {"correction": 0}, {"d0": "map", "d1": "stat"}),
        ("var", {}, {"d0": "map", "d1": "norm"}),
        ("norm", {}, {"d0": "map", "d1": "norm"}),
        ("norm", {"p": float("inf")}, {"d0": "map", "d1": "extremum"}),
        ("argmax", {}, {"d0": "map", "d1": "fixed"}),
    ],
)
def test_each_reduction_asks_what_it_needs(name, more, kinds):
    assert roles_of(name, input=zeros(3, 4), dim=1, **more) == kinds


def test_a_reduced_axis_that_is_kept_is_fixed():
    assert forms_of("mean", input=zeros(3, 4), dim=1, keepdim=True) == (
        "[d0:3, d1:4] -> [d0:3, Reduced:1]"
    )


def test_what_runs_along_an_axis_fixes_it():
    assert roles_of("cumsum", input=zeros(3, 4), dim=-1) == {"d0": "lin", "d1": "fixed"}
    assert roles_of("roll", input=zeros(3, 4), shifts=1) == {"d0": "fixed", "d1": "fixed"}
