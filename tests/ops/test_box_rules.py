"""FACT-4, rule by rule: what a rule says holds, and zeros come through."""

import math
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from morphir.ops import DEFAULT_TABLE
from morphir.ops.box_rules import KEEPS_ZERO, MOVEMENT, RULES, Box, filled, keep_zeros


def point(*numbers: Any) -> Box:
    tensor = torch.tensor(numbers, dtype=torch.float64)
    return Box(tensor, tensor)


def anything(*shape: int) -> Box:
    low = torch.full(shape, -math.inf, dtype=torch.float64)
    return Box(low, -low)


def run(name: str, **arguments: Any) -> Box:
    op = DEFAULT_TABLE[name] if hasattr(DEFAULT_TABLE, "__getitem__") else DEFAULT_TABLE.get(name)
    assert op is not None
    found = RULES[name](op, op.complete(arguments))
    assert found is not None
    return found


def test_every_rule_is_for_an_op():
    assert all(DEFAULT_TABLE.get(name) is not None for name in (*RULES, *MOVEMENT, *KEEPS_ZERO))


@pytest.mark.parametrize("name", sorted(KEEPS_ZERO))
def test_fact_4_what_keeps_zero_does_so_for_every_element(name: str):
    """FACT-4"""
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    assert op.keeps_zero
    x = torch.rand(4, 3, 5, 5, 5)[(..., *[0] * (3 - int(name[-2]) if name[-1] == "d" else 0))]
    x[:, 1] = 0
    arguments = {"input": x} | ({"training": True} if "dropout" in name else {})
    result = op.execute(op.complete(arguments))
    assert (result[:, 1] == 0).all()
    assert result.shape == x.shape


def test_fact_4_a_mask_rounds_nothing():
    """FACT-4: so a masked weight is known exactly"""
    weight, mask = point(0.1, 0.2, -0.3, 1 / 3), point(1.0, 0.0, -1.0, 1.0)
    found = run("mul", input=weight, other=mask)
    assert torch.equal(found.low, found.high)
    assert torch.equal(found.low, weight.low * mask.low)
    wide = run("mul", input=weight, other=point(0.3, 0.3, 0.3, 0.3))
    assert (wide.low < wide.high).all()


def test_fact_4_a_product_of_matrices_is_zero_where_no_term_is_not():
    """FACT-4: whatever the other factor is"""
    value = anything(3, 2)
    value.low[:, 1] = value.high[:, 1] = 0
    found = run("matmul", input=anything(4, 3), other=value)
    assert found.is_zero.tolist() == [[False, True]] * 4
    found = run("bmm", input=anything(1, 4, 3), mat2=Box(value.low[None], value.high[None]))
    assert found.is_zero.tolist() == [[[False, True]] * 4]
    assert not run("matmul", input=anything(4, 3), other=anything(3, 2)).is_zero.any()


def test_fact_4_weights_that_are_not_known_may_be_zero_for_sure():
    """FACT-4: without a bias"""
    weight = anything(2, 3)
    weight.low[1] = weight.high[1] = 0
    found = run("linear", input=anything(5, 3), weight=weight)
    assert found.is_zero.tolist() == [[False, True]] * 5


@pytest.mark.parametrize("heads", [(2, 3), (2,), ()])
def test_fact_4_a_mean_of_values_is_zero_where_they_are(heads: tuple[int, ...]):
    """FACT-4"""
    query, key, value = anything(*heads, 4, 5), anything(*heads, 6, 5), anything(*heads, 6, 3)
    value.low[..., 1] = value.high[..., 1] = 0
    value.low[..., 0, 2] = value.high[..., 0, 2] = 0
    found = run("scaled_dot_product_attention", query=query, key=key, value=value)
    numbers = torch.randn(*heads, 6, 3)
    numbers[..., 1] = 0
    shape = F.scaled_dot_product_attention(
        torch.randn(*heads, 4, 5), torch.randn(*heads, 6, 5), numbers
    ).shape
    assert found.low.shape == shape
    assert found.is_zero[..., 1].all()
    assert not found.is_zero[..., [0, 2]].any()


def test_zeros_of_one_box_are_zeros_of_another():
    found = keep_zeros(
        point(0.0, 1.0), Box(filled(torch.ones(3, 2), -1), filled(torch.ones(3, 2), 1))
    )
    assert found.is_zero.tolist() == [[True, False]] * 3


def test_a_larger_box_keeps_what_is_zero():
    found = point(0.0, 1.0).outward()
    assert (found.low[0], found.high[0]) == (0, 0)
    assert found.low[1] < 1 < found.high[1]


@pytest.mark.parametrize("name", ["sigmoid", "exp", "softplus", "tanh", "elu", "leaky_relu"])
def test_fact_4_what_underflows_is_not_zero(name: str):
    """FACT-4: sigmoid(-1000) is 0 in float64 and is not 0"""
    x = 5e-324 if name in ("tanh", "elu", "leaky_relu") else -1000.0
    assert not run(name, input=point(-x)).is_zero.any()
    assert not run(name, input=point(x)).is_zero.any()
    assert run("hardsigmoid", input=point(-4.0)).is_zero.all()


def test_fact_4_nor_is_a_product_or_a_sum_that_does():
    """FACT-4"""
    small = point(1e-200)
    assert not run("mul", input=small, other=small).is_zero.any()
    weight = Box(small.low[None], small.high[None])
    assert not run("linear", input=small, weight=weight).is_zero.any()
    tiny = point(5e-324, 0.0, 0.0, 0.0)
    assert not run("mean", input=tiny).is_zero.any()


def test_fact_4_a_mean_that_cancels_is_not_zero():
    """FACT-4: the error is relative to what is summed, not to the sum"""
    x = point(1e17, 1.0, -1e17)
    found = run("mean", input=x)
    assert found.low < 1 / 3 < found.high
    assert run("mean", input=point(0.0, 0.0)).is_zero.all()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("threshold", {"threshold": -1.0, "value": 0.0}),
        ("threshold", {"threshold": 0.0, "value": 5.0}),
        ("leaky_relu", {"negative_slope": -1.0}),
        ("elu", {"alpha": -2.0}),
    ],
)
def test_fact_4_a_function_that_falls_somewhere_has_no_rule(name: str, options: Any):
    """FACT-4: between two ends it is not between what it is there"""
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    box = Box(point(-3.0).low, point(5.0).high)
    assert RULES[name](op, op.complete({"input": box, **options})) is None


def test_fact_4_what_is_exact_is_not_made_larger():
    """FACT-4, FACT-2: sigmoid(0) is 1/2, exp(0) is 1, and a leaky ReLU keeps 0.3"""
    for name, x, y in (("sigmoid", 0.0, 0.5), ("exp", 0.0, 1.0), ("leaky_relu", 0.3, 0.3)):
        found = run(name, input=point(x, -x - 1))
        assert found.low[0] == y == found.high[0]
        assert found.low[1] < found.high[1]
