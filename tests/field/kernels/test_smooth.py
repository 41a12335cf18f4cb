"""FIELD-2: functions that are no sums and products are keyed ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from morphir.field.kernels import smooth
from tests.field.lifted import FIELD, call, lift, new_run

aten = torch.ops.aten
X = torch.randn(30)
X[:3] = torch.tensor([0.0, 1.0, 1.0])
Y = torch.randn(30)

Function = Callable[..., Any]

# Kernel, function, and another one that it must not be.
OF_ONE: list[tuple[str, Function, Function]] = [
    *[
        (name, getattr(aten, name), torch.sigmoid)
        for name in (
            "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "digamma",
            "erf", "erfc", "erfinv", "exp", "exp2", "expm1", "floor", "frac", "lgamma", "log",
            "log10", "log1p", "log2", "round", "selu", "sin", "sinh", "sqrt", "tan", "tanh",
            "trunc", "rsqrt",
        )
    ],
    ("sigmoid", torch.sigmoid, torch.tanh),
    ("celu", F.celu, lambda x: F.celu(x, 2.0)),
    ("elu", F.elu, lambda x: F.elu(x, 2.0)),
    ("elu", F.selu, F.elu),
    ("hardshrink", F.hardshrink, lambda x: F.hardshrink(x, 0.25)),
    ("softshrink", F.softshrink, lambda x: F.softshrink(x, 0.25)),
    ("softplus", F.softplus, lambda x: F.softplus(x, 2)),
    ("softplus", F.softplus, lambda x: F.softplus(x, 1, 10)),
    ("round", lambda x: x.round(decimals=1), torch.round),
    ("gelu", F.gelu, lambda x: F.gelu(x, approximate="tanh")),
    ("silu", F.silu, F.gelu),
    ("mish", F.mish, F.silu),
    ("log_sigmoid_forward", F.logsigmoid, torch.log),
]  # fmt: skip
OF_TWO: list[tuple[str, Function]] = [
    ("atan2", torch.atan2),
    ("hypot", torch.hypot),
    ("fmod", torch.fmod),
    ("remainder", torch.remainder),
    ("xlogy", torch.xlogy),
]
NO_RATIONAL_AT_ZERO = {
    "acos", "acosh", "digamma", "lgamma", "log", "log10", "log2", "softplus", "rsqrt",
    "log_sigmoid_forward",
}  # fmt: skip
IDS = [name for name, *_ in OF_ONE]


@pytest.mark.parametrize(("name", "function", "other"), OF_ONE, ids=IDS)
def test_field_2_equal_arguments_give_equal_results_and_other_functions_other_ones(
    name: str, function: Function, other: Function
):
    used: set[str] = set()
    for inference in (False, True):
        run = new_run(used=used)
        found = call(function, X, run=run, inference=inference)
        again = call(lambda x: function(2 * x - x), X, run=run, inference=inference)
        assert torch.equal(found, again)
    assert name in used
    assert found[1] == found[2]
    assert len(found.unique()) == len(X) - 1, "and nothing else is equal"
    assert (call(other, X) != found)[1:].all()
    assert (FIELD.lift(X) != found)[1:].all()


@pytest.mark.parametrize(("name", "function", "other"), OF_ONE, ids=IDS)
def test_field_2_the_value_at_0_is_kept_where_it_is_rational(
    name: str, function: Function, other: Function
):
    zero = torch.zeros(1)
    exact = FIELD.lift(function(zero)) if name not in NO_RATIONAL_AT_ZERO else None
    assert exact is None or torch.equal(call(function, zero), exact)
    assert (name in smooth._AT_ZERO and smooth._AT_ZERO[name] is None) or (
        exact is not None or name in ("rsqrt", "log_sigmoid_forward")
    )


@pytest.mark.parametrize(("name", "function"), OF_TWO, ids=[name for name, _ in OF_TWO])
def test_field_2_functions_of_two_arguments(name: str, function: Function):
    used: set[str] = set()
    found = call(function, X, Y, run=new_run(used=used))
    assert name in used
    assert torch.equal(found, call(lambda x, y: function(x + y - y, y), X, Y))
    assert (found != call(function, Y, X))[3:].all()
    assert found[1] != found[2]


def test_field_2_other_kinds_of_remainders_and_numbers_are_taken():
    for function in (torch.fmod, torch.remainder):
        found = call(lambda x, of=function: (of(x, 2), of(x, torch.tensor(2.0)), of(x, 3)), X)
        assert torch.equal(found[0], found[1])
        assert (found[0] != found[2]).all()


def test_field_2_a_function_in_place_is_the_same():
    assert torch.equal(*call(lambda x: (x.clone().tanh_(), x.tanh()), X))


@pytest.mark.parametrize(
    "law",
    [
        lambda x: (F.silu(x), x * x.sigmoid()),
        lambda x: (F.mish(x), x * F.softplus(x).tanh()),
        lambda x: (F.logsigmoid(x), x.sigmoid().log()),
        lambda x: (x.rsqrt() * x.sqrt() * x, x),
        lambda x: (F.gelu(x - x), x - x),
        lambda x: (F.softsign(x) * (1 + x.abs()), x),
        lambda x: (F.tanhshrink(x), x - x.tanh()),
        lambda x: (F.glu(torch.cat([x, x])), x * x.sigmoid()),
        lambda x: (torch.xlogy(x, x + 1), x * (x + 1).log()),
    ],
)
def test_functions_that_are_made_of_others_are_what_their_formulas_say(law: Function):
    assert torch.equal(*call(law, X))


@pytest.mark.parametrize(
    "law",
    [
        lambda x: (x.sqrt() * x.sqrt(), x),
        lambda x: ((-x).tanh(), -x.tanh()),
        lambda x: ((-x).sigmoid(), 1 - x.sigmoid()),
        lambda x: ((x + 1).exp(), x.exp() * torch.ones(()).exp()),
    ],
)
def test_field_2_nothing_else_of_a_function_is_kept(law: Function):
    one, other = call(law, X)
    assert (one != other)[1:].all()


def test_field_2_other_runs_have_other_functions():
    run, found = new_run(), []
    with run:
        for key in ("one", "other", "one"):
            run.begin(key)
            found.append(lift(X, run).tanh().residues)
    assert torch.equal(found[0], found[2])
    assert (found[0] != found[1])[1:].all()


def test_the_cases_cover_the_table():
    covered = {name for name, *_ in OF_ONE} | {name for name, _ in OF_TWO}
    assert covered == smooth.COMPUTED.keys()
