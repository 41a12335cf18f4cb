"""FIELD-3 and FIELD-4: what stands for piecewise functions, and the rules that it keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from morphir.field.kernels import gates
from morphir.field.modular import Unsupported
from morphir.field.residues import Gates
from tests.field.lifted import FIELD, call, new_run

X, Y = torch.randn(40, 5), torch.randn(40, 5)  # no order is among the rules
X[0], Y[1] = 0, 0

Law = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def clamp(x: torch.Tensor) -> torch.Tensor:
    return x.clamp(-1, 2)


# Kernel and rule: two sides that are equal with gates "square".
SQUARE: list[tuple[str, Law]] = [
    ("relu", lambda x, y: (x.relu().relu(), x.relu())),
    ("relu", lambda x, y: (x.relu() - (-x).relu(), x)),
    ("relu", lambda x, y: ((2 * x).relu(), 2 * x.relu())),
    ("relu", lambda x, y: ((x / 8).relu(), x.relu() / 8)),
    ("relu", lambda x, y: (x.clone().relu_(), x.relu())),
    ("leaky_relu", lambda x, y: (F.leaky_relu(x, 0.25), x.relu() - (-x).relu() / 4)),
    ("leaky_relu", lambda x, y: (F.leaky_relu(x, 1.0), x)),
    ("rrelu_with_noise", lambda x, y: (F.rrelu(x, 0.25, 0.75), F.leaky_relu(x, 0.5))),
    ("rrelu_with_noise", lambda x, y: (F.rrelu(x), F.leaky_relu(x, (1 / 8 + 1 / 3) / 2))),
    ("_prelu_kernel", lambda x, y: (F.prelu(x, torch.ones(1)), x)),
    ("_prelu_kernel", lambda x, y: (F.prelu(x, torch.zeros(5)), x.relu())),
    ("_prelu_kernel", lambda x, y: (F.prelu(x, y[2]), x.relu() - y[2] * (-x).relu())),
    ("abs", lambda x, y: (x.abs(), x.relu() + (-x).relu())),
    ("abs", lambda x, y: (x.abs(), (-x).abs())),
    ("abs", lambda x, y: (x.abs() * y.abs(), (x * y).abs())),
    ("sign", lambda x, y: (x.sign() * x.abs(), x)),
    ("sign", lambda x, y: ((-x).sign(), -x.sign())),
    ("sgn", lambda x, y: (x.sgn(), x.sign())),
    ("threshold", lambda x, y: (F.threshold(x, 0, 0), x.relu())),
    ("threshold", lambda x, y: (F.threshold(x, 1, 5), torch.where(x > 1, x, 5.0))),
    ("maximum", lambda x, y: (x.maximum(y), y.maximum(x))),
    ("maximum", lambda x, y: (x.maximum(y), y + (x - y).relu())),
    ("maximum", lambda x, y: (x.maximum(x), x)),
    ("maximum", lambda x, y: (x.maximum(y).maximum(y), x.maximum(y))),
    ("minimum", lambda x, y: (x.minimum(y), y.minimum(x))),
    ("minimum", lambda x, y: (x.minimum(y), -(-x).maximum(-y))),
    ("minimum", lambda x, y: (x.minimum(y) + x.maximum(y), x + y)),
    ("clamp", lambda x, y: (clamp(clamp(x)), clamp(x))),
    ("clamp", lambda x, y: (x.clamp(min=0), x.relu())),
    ("clamp", lambda x, y: (x.clamp(y, None), x.maximum(y))),
    ("clamp", lambda x, y: (x.clone().clamp_(max=1), x.minimum(torch.ones(())))),
    ("clamp_min", lambda x, y: (x.clamp_min(0), x.relu())),
    ("clamp_max", lambda x, y: (x.clamp_max(1), -(-x).clamp_min(-1))),
    ("hardtanh", lambda x, y: (F.hardtanh(x), x.clamp(-1, 1))),
    ("hardtanh", lambda x, y: (F.hardtanh(F.hardtanh(x, -2, 3), -2, 3), x.clamp(-2, 3))),
    ("relu6", lambda x, y: (F.relu6(F.relu6(x)), x.clamp(0, 6))),
    ("hardsigmoid", lambda x, y: (F.hardsigmoid(x) * 6, F.relu6(x + 3))),
    ("hardswish", lambda x, y: (F.hardswish(x), x * F.hardsigmoid(x))),
    ("gt", lambda x, y: (x > y, y < x)),
    ("gt", lambda x, y: (torch.where(x > 0, x, 0.0), x.relu())),
    ("lt", lambda x, y: (x < y, ~(x >= y))),
    ("ge", lambda x, y: (x >= y, (x > y) | (x == y))),
    ("ge", lambda x, y: (x >= y, y <= x)),
    ("le", lambda x, y: (x <= y, ~(x > y))),
]
ALWAYS = [
    ("relu", lambda x, y: ((x - x).relu(), x - x)),
    ("abs", lambda x, y: ((x - x).abs(), x - x)),
    ("leaky_relu", lambda x, y: (F.leaky_relu(x - x), x - x)),
    ("_prelu_kernel", lambda x, y: (F.prelu(x, torch.ones(1)), x)),
    ("maximum", lambda x, y: (x.maximum(y), y + (x - y).relu())),
    ("minimum", lambda x, y: (x.minimum(x), x)),
    ("hardswish", lambda x, y: (F.hardswish(x), x * F.hardsigmoid(x))),
    ("lt", lambda x, y: (x < y, ~(x >= y))),
    ("le", lambda x, y: (x <= y, ~(x > y))),
    ("ge", lambda x, y: (x >= x, x == x)),
    ("gt", lambda x, y: (x > x, x != x)),
]
# What would hold if all numbers had an order.
NEVER = [
    ("relu", lambda x, y: ((x.relu() + y.relu()).relu(), x.relu() + y.relu())),
    ("relu", lambda x, y: ((3 * x).relu(), 3 * x.relu())),
    ("maximum", lambda x, y: (x.maximum(y).maximum(x + y), x.maximum((x + y).maximum(y)))),
]


def names(laws: list[tuple[str, Law]]) -> list[str]:
    return [name for name, _ in laws]


def holds(name: str, law: Law, gates: Gates) -> bool:
    used: set[str] = set()
    for inference in (False, True):
        sides = call(law, X, Y, run=new_run(gates, used), inference=inference)
    assert name in used
    return torch.equal(*sides)


@pytest.mark.parametrize(("name", "law"), SQUARE, ids=names(SQUARE))
def test_field_3_rules_of_squares(name: str, law: Law):
    assert holds(name, law, "square")


@pytest.mark.parametrize(("name", "law"), ALWAYS, ids=names(ALWAYS))
@pytest.mark.parametrize("gates", ["square", "free"])
def test_field_4_rules_of_all_functions_that_are_0_at_0(name: str, law: Law, gates: Gates):
    assert holds(name, law, gates)


@pytest.mark.parametrize(("name", "law"), NEVER, ids=names(NEVER))
def test_field_3_what_follows_from_an_order_is_not_kept(name: str, law: Law):
    assert not holds(name, law, "square")


@pytest.mark.parametrize(("name", "law"), SQUARE[:4], ids=names(SQUARE[:4]))
def test_field_4_free_functions_have_no_other_rules(name: str, law: Law):
    assert not holds(name, law, "free")


def test_field_3_a_square_is_positive_and_its_negative_is_not():
    squares = FIELD.lift(X) ** 2 % FIELD.prime
    found = call(lambda x: (x.square().relu(), (-x.square()).relu(), x.square() > 0), X)
    assert torch.equal(found[0], squares)
    assert (found[1] == 0).all()
    assert torch.equal(found[2], X != 0)


@pytest.mark.parametrize("gates", ["square", "free"])
def test_about_half_of_all_numbers_are_positive(gates: Gates):
    x = torch.randn(4000)
    positive, relu, sign = call(
        lambda x: (x > 0, F.threshold(x, 0, 0), x.sign()), x, run=new_run(gates)
    )
    assert 0.45 < positive.double().mean() < 0.55
    assert torch.equal(relu != 0, positive)
    assert torch.equal(sign == 1, positive)


def test_field_4_other_slopes_and_other_names_are_other_functions():
    def functions(x: torch.Tensor) -> list[torch.Tensor]:
        return [x.relu(), x.abs(), F.leaky_relu(x), F.leaky_relu(x, 0.02)]

    found = call(functions, X[1:], run=new_run("free"))
    for index, one in enumerate(found):
        assert all((one != other).all() for other in found[index + 1 :])


def test_field_3_other_limits_are_other_functions():
    def limited(x: torch.Tensor) -> list[torch.Tensor]:
        return [x.clamp(-1, 2), x.clamp(-1, 3), F.threshold(x, 1, 0), F.threshold(x, 1, 2)]

    one, other, third, fourth = call(limited, X)
    assert not torch.equal(one, other)
    assert not torch.equal(third, fourth)


def test_slopes_that_are_drawn_are_refused():
    with pytest.raises(Unsupported, match="slopes that are drawn"):
        call(lambda x: F.rrelu(x, training=True), X)


def test_the_rules_cover_the_table():
    assert {name for name, _ in SQUARE} == gates.COMPUTED.keys()
