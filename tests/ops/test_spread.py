"""Permutations reorder axes; expansion is uniform; repetition multiplies."""

from math import prod

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.layouts import check_layout_of, forms_of, roles_of, rules_of, zeros

SIZES = st.sampled_from([1, 1, 2, 2, 3, 4])
SHAPES = st.lists(SIZES, min_size=1, max_size=4)


def numbers(shape) -> torch.Tensor:
    return torch.arange(prod(shape), dtype=torch.float64).reshape(shape)


@given(SHAPES, st.data())
def test_axis_4_any_permutation_expansion_and_repetition(shape, data):
    """AXIS-4."""
    x, rank = numbers(shape), len(shape)
    check_layout_of("permute", input=x, dims=tuple(data.draw(st.permutations(range(rank)))))
    source, destination = (data.draw(st.integers(-rank, rank - 1)) for _ in range(2))
    check_layout_of("movedim", input=x, source=source, destination=destination)
    check_layout_of("transpose", input=x, dim0=source, dim1=destination)
    sizes = [data.draw(st.sampled_from([-1, n] if n > 1 else [-1, 1, 3])) for n in shape]
    new = data.draw(st.lists(SIZES, max_size=2))
    check_layout_of("expand", input=x, size=(*new, *sizes))
    repeats = tuple(data.draw(SIZES) for _ in shape)
    check_layout_of("repeat", input=x, repeats=(*new, *repeats))
    check_layout_of("squeeze", input=x)
    check_layout_of("squeeze", input=x, dim=source)
    check_layout_of("unsqueeze", input=x, dim=source)
    start, end = sorted((source % rank, destination % rank))
    check_layout_of("flatten", input=x, start_dim=start, end_dim=end)


def test_permutations_reorder():
    assert forms_of("permute", input=zeros(2, 3, 4), dims=(2, 0, -2)) == (
        "[d0:2, d1:3, d2:4] -> [d2:4, d0:2, d1:3]"
    )
    assert forms_of("movedim", input=zeros(2, 3, 4), source=0, destination=2) == (
        "[d0:2, d1:3, d2:4] -> [d1:3, d2:4, d0:2]"
    )


def test_an_expanded_axis_is_uniform_and_its_number_follows():
    assert roles_of("expand", input=zeros(3, 1), size=(3, 4)) == {
        "d0": "lin",
        "Broadcast": "fixed",
        "d1": "uniform",
    }
    assert rules_of("expand", input=zeros(3, 1), size=(-1, 4)) == ["size[1] = d1:4"]


def test_a_repeated_axis_is_a_product_with_the_repetition_outside_or_inside():
    assert forms_of("repeat", input=zeros(3), repeats=(2,)) == "[d0:3] -> [(r0:2 d0:3)]"
    assert forms_of("repeat_interleave", input=zeros(3), repeats=2, dim=0) == (
        "[d0:3] -> [(d0:3 r:2)]"
    )
