"""RUN-9: bounds of functions of one operand hold."""

import pytest
import torch
import torch.nn.functional as F

from tests.checks.running.sound import Function, assert_bounded, bounded

CASES: dict[str, Function] = {
    **{
        name: getattr(torch, name)
        for name in (
            "exp", "expm1", "exp2", "tanh", "sigmoid", "erf", "atan", "asinh", "sinh", "sin", "cos",
            "relu", "abs", "neg", "square", "reciprocal",
        )
    },
    **{
        name: getattr(F, name)
        for name in (
            "gelu", "silu", "mish", "hardswish", "softplus", "elu", "selu", "celu", "logsigmoid",
            "hardsigmoid", "hardtanh", "leaky_relu", "relu6", "softsign", "softshrink",
            "tanhshrink",
        )
    },
    "gelu by tanh": lambda x: F.gelu(x, approximate="tanh"),
    "prelu": lambda x: F.prelu(x, torch.tensor([0.3], dtype=x.dtype)),
    "glu": lambda x: F.glu(x, -1),
    **{
        f"{name} of positive numbers": lambda x, name=name: getattr(torch, name)(x + 1.5)
        for name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt")
    },
    "x ** 3": lambda x: x**3,
    "x ** -0.5": lambda x: (x + 1.5) ** -0.5,
    "clamp": lambda x: x.clamp(-0.5, 0.3),
    "maximum": lambda x: torch.maximum(x, x.flip(0) * 0.7),
    "minimum": lambda x: torch.minimum(x, x.flip(0) * 0.7),
    "logaddexp": lambda x: torch.logaddexp(x, x.flip(0)),
}  # fmt: skip


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", range(2))
def test_run_9_no_function_is_further_off_than_its_bound(function: Function, seed: int):
    """RUN-9"""
    torch.manual_seed(seed)
    assert_bounded(function, torch.randn(40, 6) * 3)


def test_run_9_a_function_that_jumps_is_off_by_its_jump():
    """RUN-9: 0.1 * 3 may be above or below 0.3."""
    _, bound, _ = bounded(lambda x: torch.floor(x * 3 + 0.7), torch.tensor([0.1, 0.2]))
    assert float(bound[0]) == pytest.approx(1, abs=1e-5)
    assert float(bound[1]) < 1e-5


def test_run_9_a_pole_within_reach_bounds_nothing():
    """RUN-9"""
    for function in (torch.reciprocal, torch.rsqrt, torch.log):
        _, bound, _ = bounded(lambda x, f=function: f(x * 3 - 0.3), torch.tensor([0.1]))
        assert bool(bound.isinf().all()), function
