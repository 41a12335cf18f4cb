"""A layout at the sizes of other calls: AXIS-4 speaks of what maps of its atoms make."""

import random

import pytest

from morphir.ops import OPS, Op
from morphir.ops.check import draw_map, tied_sizes
from morphir.ops.fitting import at_sizes, fitted
from morphir.ops.lift import new_arguments, new_size
from morphir.ops.verdict import results_of
from tests.ops.layouts import layout_of, zeros


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_axis_4_the_sizes_of_atoms_are_told_from_shapes_and_numbers(op: Op):
    """For random maps of all atoms of the samples of every op."""
    numbers = random.Random(0)
    for sample in op.samples(numbers):
        layout = op.layout(sample.arguments, results_of(op, sample.arguments))
        free = [atom for atom, role in layout.roles.items() if role.ways]
        sizes = tied_sizes(layout, free, numbers)
        maps = {
            a: draw_map(a.size, layout.roles[a], layout.roles[a].ways[0], numbers, sizes.get(a))
            for a in free
        }
        operands, outputs = (
            [tuple(new_size(form, maps) for form in axes) for axes in tensors]
            for tensors in (layout.operands, layout.outputs)
        )
        arguments = new_arguments(op.complete(sample.arguments), layout, maps)
        found = fitted(layout, operands, outputs, arguments)
        assert {atom: there.size for atom, there in found.items()} == {
            atom: new_size(atom, maps) for atom in layout.roles
        }


def fit(shape: tuple[int, ...], result: tuple[int, ...], numbers: tuple[int, ...]) -> list[int]:
    layout = layout_of("reshape", input=zeros(2, 12), shape=(2, 3, 4))
    found = fitted(layout, [shape], [result], {"input": None, "shape": numbers})
    return [atom.size for atom in found.values()]


def test_a_factor_may_become_one():
    assert fit((2, 4), (2, 1, 4), (2, 1, 4)) == [2, 1, 4]


@pytest.mark.parametrize(
    ("shape", "result", "numbers", "message"),
    [
        ((2, 8), (2, 4, 2), (2, 2, 4), "found"),
        ((2, 9), (2, 2, 4), (2, 2, 4), "found"),
        ((2, 8), (2, 8), (2, 8), "expected"),
        ((2, 0), (2, 0, 4), (2, 0, 4), "no units"),
        ((2, 8), (2, 2, 4), (2, "a", 4), "found 'a'"),
    ],
)
def test_a_call_of_other_sizes_is_told(shape, result, numbers, message):
    with pytest.raises(ValueError, match=message):
        fit(shape, result, numbers)


def test_parts_that_are_tied_stay_equal():
    layout = layout_of("chunk", input=zeros(2, 6), chunks=2, dim=1)
    arguments = {"input": None, "chunks": 2, "dim": 1}
    sizes = fitted(layout, [(2, 8)], [(2, 4), (2, 4)], arguments).values()
    assert sorted(atom.size for atom in sizes) == [2, 4, 4]
    with pytest.raises(ValueError, match="equal"):
        fitted(layout, [(2, 8)], [(2, 3), (2, 5)], arguments)


def test_axis_11_a_layout_at_other_sizes_is_that_of_the_call():
    """AXIS-11."""
    before, after = (
        layout_of("reshape", input=zeros(2, 4 * heads), shape=(2, heads, 4)) for heads in (3, 5)
    )
    there = fitted(before, [(2, 20)], [(2, 5, 4)], {"input": None, "shape": (2, 5, 4)})
    names = str(at_sizes(before, there)).replace("f12", "f20")
    assert names == str(after)
