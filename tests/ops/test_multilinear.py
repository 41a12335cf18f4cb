"""matmul, einsum and addmm: contractions, batch axes and biases."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.ops.layouts import check_layout_of, forms_of, layout_of, roles_of, zeros

LETTERS = dict(zip("abcde", (2, 3, 1, 2, 4), strict=True))
TERMS = st.lists(st.sampled_from("abcde"), max_size=3, unique=True)


def drawn(*shape) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@given(st.lists(TERMS, min_size=1, max_size=3), st.data())
def test_axis_4_any_einsum_commutes_with_what_its_layout_admits(terms, data):
    """AXIS-4."""
    letters = sorted({letter for term in terms for letter in term})
    kept = [letter for letter in letters if data.draw(st.booleans())]
    equation = ",".join(map("".join, terms)) + "->" + "".join(data.draw(st.permutations(kept)))
    operands = tuple(drawn(*(LETTERS[letter] for letter in term)) for term in terms)
    check_layout_of("einsum", equation=equation, operands=operands)


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=2), st.data())
def test_axis_4_any_matmul_commutes_with_what_its_layout_admits(batch, data):
    """AXIS-4."""
    left, right = (
        [size if data.draw(st.booleans()) else 1 for size in batch][data.draw(st.integers(0, 2)) :]
        for _ in range(2)
    )
    matrices = ((*left, 2, 3), (*right, 3, 4))
    vectors = (data.draw(st.booleans()), data.draw(st.booleans()))
    shapes = [(3,) if vector else shape for vector, shape in zip(vectors, matrices, strict=True)]
    check_layout_of("matmul", input=drawn(*shapes[0]), other=drawn(*shapes[1]))


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ((2, 3), (3, 4), "[i:2, k:3], [k:3, j:4] -> [i:2, j:4]"),
        ((3,), (3, 4), "[k:3], [k:3, j:4] -> [j:4]"),
        ((2, 3), (3,), "[i:2, k:3], [k:3] -> [i:2]"),
        ((3,), (3,), "[k:3], [k:3] -> []"),
        (
            (5, 1, 2, 3),
            (6, 3, 4),
            "[...2:5, Broadcast:1, i:2, k:3], [...1:6, k:3, j:4] -> [...2:5, ...1:6, i:2, j:4]",
        ),
    ],
)
def test_matmul_of_any_ranks(left, right, expected):
    assert forms_of("matmul", input=zeros(*left), other=zeros(*right)) == expected


def test_the_scores_of_attention_contract_one_copy_with_one_split():
    """AXIS-7: queries and keys are both activations, and either may be the split one."""
    layout = layout_of(
        "einsum", equation="bhid,bhjd->bhij", operands=(zeros(2, 3, 4, 5), zeros(2, 3, 4, 5))
    )
    roles = {atom.name: role for atom, role in layout.roles.items()}
    assert set(roles["d"].ways) == {("copy", "split"), ("split", "copy")}
    assert ("copy", "copy", "copy") in roles["h"].ways


def test_an_einsum_without_an_output_lists_what_occurs_once():
    assert forms_of("einsum", equation="ij,kj", operands=(zeros(2, 3), zeros(4, 3))) == (
        "[i:2, j:3], [k:4, j:3] -> [i:2, k:4]"
    )


def test_a_diagonal_is_fixed():
    assert roles_of("einsum", equation="ii->i", operands=(zeros(3, 3),)) == {"i": "each"}
    layout = layout_of("einsum", equation="ii->i", operands=(zeros(3, 3),))
    assert [role.maps for role in layout.roles.values()] == ["identity"]


def test_a_bias_that_has_the_axis_is_split_with_the_weight():
    """Hugging Face's Conv1D: a split passes along o, not along the batch, which the bias lacks."""
    layout = layout_of("addmm", input=zeros(4), mat1=zeros(2, 3), mat2=zeros(3, 4))
    ways = {atom.name: set(role.ways) for atom, role in layout.roles.items()}
    assert ways["j"] == {("copy",) * 3, ("split",) * 3}
    assert ways["i"] == {("copy", "copy")}
