import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import fx

from morphir.frontend.sizes import (
    Computed,
    Expression,
    ReadAttribute,
    ReadSize,
    SizeWatch,
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
    lambda n, k: -n, lambda n, k: n**2 - k,
    lambda n, k: (n * n + k) // k - (k - n) % 3, lambda n, k: sum([n, n, k]),
]  # fmt: skip


@given(st.sampled_from(FORMULAS), st.integers(1, 20), st.integers(1, 20), st.integers(1, 20))
def test_the_expression_of_a_result_gives_the_result_at_every_size(formula, size, other, k):
    result = formula(TaggedInt(size, SIZE), k)
    assert type(result) is TaggedInt
    assert result == formula(size, k)
    assert value(result.expression, other) == formula(other, k)


def test_a_tagged_number_is_an_int_wherever_one_is_wanted():
    n = TaggedInt(3, SIZE)
    assert [*range(n)] == [0, 1, 2]
    assert "abc"[n - 1] == "c"
    assert {3: "x"}[n] == "x"
    assert f"{n} {n:03d}" == "3 003"
    assert torch.zeros(n, 2).shape == (3, 2)
    assert isinstance(n, int)
    assert (n + 0.5, n / 2) == (3.5, 1.5)


@pytest.mark.parametrize(
    "lose", [lambda n: int(n), lambda n: n / 1, lambda n: n**3, lambda n: n & 1]
)
def test_what_is_no_integer_arithmetic_loses_the_tag(lose):
    assert type(lose(TaggedInt(3, SIZE))) in (int, float)


@pytest.mark.parametrize(
    "make",
    [
        float, math.sqrt, np.sqrt, np.log, lambda n: n / 2, lambda n: 1 / n, lambda n: n / n,
        lambda n: n / 2.0, lambda n: n**-0.5, lambda n: n**-1, lambda n: n * 0.5,
        lambda n: n // 2.0, lambda n: np.float32(2) * n,
    ],
)  # fmt: skip
def test_front_9_a_float_that_is_made_of_a_size_is_noted(make):
    floats: list[TaggedInt] = []
    n = TaggedInt(4, SIZE, SizeWatch(floats.append))
    assert make(n) == make(4)
    assert {number.expression for number in floats} == {SIZE}
    assert make(TaggedInt(4, SIZE)) == make(4)


def test_what_a_float_is_made_of_is_noted_with_its_arithmetic():
    floats: list[TaggedInt] = []
    width = TaggedInt(8, ReadAttribute("", "width", 8), SizeWatch(floats.append))
    assert (width // TaggedInt(2, SIZE)) ** -0.5 == 0.5
    (noted,) = floats
    assert noted.expression == Computed("//", ReadAttribute("", "width", 8), SIZE)


@pytest.mark.parametrize(
    "compute", [lambda n: n**2, lambda n: n // 2, lambda n: n + np.int64(1), lambda n: f"{n:03d}"]
)
def test_whole_numbers_and_texts_are_no_floats(compute):
    floats: list[TaggedInt] = []
    assert compute(TaggedInt(4, SIZE, SizeWatch(floats.append))) == compute(4)
    assert floats == []


def test_copies_and_pickles_are_plain_numbers():
    n = TaggedInt(3, SIZE, SizeWatch())
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
    watch = SizeWatch()
    assert compare(TaggedInt(3, SIZE, watch)) is True
    (found,) = watch.tests
    assert found.test == test
    assert found.source.startswith("test_sizes.py:")


def test_comparisons_without_a_tensors_size_are_not_noted():
    watch = SizeWatch()
    assert TaggedInt(3, ReadAttribute("", "heads", 3), watch) == 3
    assert watch.tests == []
    assert TaggedInt(3, SIZE) == 3
    assert expression_of(5) == 5
    assert expression_of(TaggedInt(3, SIZE)) is SIZE


def test_a_comparison_that_torch_makes_is_not_noted():
    watch = SizeWatch()
    n = TaggedInt(3, SIZE, watch)
    exec(compile("assert n == 3", torch.__file__, "exec"), {"n": n})
    assert watch.tests == []
    exec(compile("assert n == 3", __file__, "exec"), {"n": n})
    assert len(watch.tests) == 1
