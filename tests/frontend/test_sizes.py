import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx

from morphir.frontend.sizes import (
    Computed,
    Expression,
    ReadSize,
    SizeTest,
    TaggedInt,
    expression_of,
)

NODE = fx.Graph().placeholder("x")
SIZE = ReadSize(NODE, 0)


def value(expression: Expression, size: int) -> int:
    """What an expression is at another size."""
    if isinstance(expression, Computed):
        left, right = value(expression.left, size), value(expression.right, size)
        return {
            "+": int.__add__, "-": int.__sub__, "*": int.__mul__, "//": int.__floordiv__,
            "%": int.__mod__,
        }[expression.op](left, right)  # fmt: skip
    return size if isinstance(expression, ReadSize) else expression  # type: ignore[return-value]


FORMULAS = [
    lambda n, k: n + k, lambda n, k: k + n, lambda n, k: n - k, lambda n, k: k - n,
    lambda n, k: n * k, lambda n, k: k * n, lambda n, k: n // k, lambda n, k: n % k,
    lambda n, k: -n, lambda n, k: (n * n + k) // k - (k - n) % 3, lambda n, k: sum([n, n, k]),
]  # fmt: skip


@given(st.sampled_from(FORMULAS), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_the_expression_of_a_result_gives_the_result_at_every_size(formula, size, other, k):
    result = formula(TaggedInt(size, SIZE, []), k)
    assert type(result) is TaggedInt
    assert result == formula(size, k)
    assert value(result.expression, other) == formula(other, k)


def test_a_tagged_number_is_an_int_wherever_one_is_wanted():
    n = TaggedInt(3, SIZE, [])
    assert [*range(n)] == [0, 1, 2]
    assert "abc"[n - 1] == "c"
    assert {3: "x"}[n] == "x"
    assert f"{n} {n:03d}" == "3 003"
    assert torch.zeros(n, 2).shape == (3, 2)
    assert isinstance(n, int)
    assert (n + 0.5, n / 2) == (3.5, 1.5)


@pytest.mark.parametrize(
    "lose", [lambda n: int(n), lambda n: n / 1, lambda n: n**2, lambda n: n & 1]
)
def test_what_is_no_integer_arithmetic_loses_the_tag(lose):
    assert type(lose(TaggedInt(3, SIZE, []))) in (int, float)


def test_copies_and_pickles_are_plain_numbers():
    n = TaggedInt(3, SIZE, [])
    for copied in (copy.copy(n), copy.deepcopy(n), pickle.loads(pickle.dumps(n))):
        assert type(copied) is int
        assert copied == 3


@pytest.mark.parametrize(
    ("compare", "test"),
    [
        (lambda n: n == 3, "== 3"), (lambda n: n != 4, "!= 4"), (lambda n: n > 1, "> 1"),
        (lambda n: n >= 1, ">= 1"), (lambda n: n < 9, "< 9"), (lambda n: n <= 9, "<= 9"),
        (lambda n: bool(n), "!= 0"), (lambda n: n * 2 == 6, "== 6"),
    ],
)  # fmt: skip
def test_a_comparison_is_an_ordinary_one_and_is_noted(compare, test):
    tests: list[SizeTest] = []
    assert compare(TaggedInt(3, SIZE, tests)) is True
    (found,) = tests
    assert found.test == test
    assert found.source.startswith("test_sizes.py:")


def test_numbers_without_a_tensors_size_note_nothing():
    assert TaggedInt(3, 3) == 3
    assert expression_of(5) == 5
    assert expression_of(TaggedInt(3, SIZE)) is SIZE


def test_a_comparison_that_torch_makes_is_not_noted():
    tests: list[SizeTest] = []
    n = TaggedInt(3, SIZE, tests)
    exec(compile("assert n == 3", torch.__file__, "exec"), {"n": n})
    assert tests == []
    exec(compile("assert n == 3", __file__, "exec"), {"n": n})
    assert len(tests) == 1
