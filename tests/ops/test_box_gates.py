"""FACT-4 for gated activations: tight at a point, and right to the last digit."""

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from mpmath import mpf
from torch import nn

import morphir
from morphir.ops import DEFAULT_TABLE
from morphir.ops.box import propagate_boxes
from morphir.ops.box_gates import GATES
from morphir.ops.box_rules import Box


def _gelu_tanh(x: mpf) -> mpf:
    return x / 2 * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (x + mpf("0.044715") * x**3)))


EXACT: dict[tuple[str, str], Callable[[mpf], mpf]] = {
    ("gelu", "none"): lambda x: x / 2 * mpmath.erfc(-x / mpmath.sqrt(2)),
    ("gelu", "tanh"): _gelu_tanh,
    ("silu", ""): lambda x: x / (1 + mpmath.exp(-x)),
    ("mish", ""): lambda x: x * mpmath.tanh(mpmath.log1p(mpmath.exp(x))),
    ("hardswish", ""): lambda x: x * min(max(x + 3, mpf(0)), mpf(6)) / 6,
}
NUMBERS = [
    *(sign * size for sign in (1, -1) for size in (1e-300, 1e-9, 0.1, 0.5, 1 / 3, 1.0, 1.5, 2.9)),
    *(sign * size for sign in (1, -1) for size in (3.0, 3.1, 5.0, 8.0, 12.0, 25.0, 37.0, 300.0)),
    *torch.linspace(-9, 9, 400, dtype=torch.float64).tolist(),
]


def found(name: str, form: str, low: Any, high: Any) -> Box:
    op = DEFAULT_TABLE.get(name)
    assert op is not None
    options = {"approximate": form} if form else {}
    ends = (torch.tensor(each, dtype=torch.float64) for each in (low, high))
    result = GATES[name](op, op.complete({"input": Box(*ends), **options}))
    assert result is not None
    return result


@pytest.mark.parametrize(("name", "form"), EXACT)
def test_fact_4_a_point_is_in_its_box_and_the_box_is_small(name: str, form: str):
    """FACT-4: GELU of -8 too, of which torch's own kernel has one digit."""
    box = found(name, form, NUMBERS, NUMBERS)
    with mpmath.workdps(400):
        for x, low, high in zip(NUMBERS, box.low.tolist(), box.high.tolist(), strict=True):
            value = EXACT[name, form](mpf(x))
            assert mpf(low) <= value <= mpf(high), x
            if abs(x) <= 4 and not (name == "hardswish" and abs(x + 3) < 0.1):
                assert high - low <= 2.0**-44 * abs(value), x  # what counts as one number


@pytest.mark.parametrize(("name", "form"), EXACT)
def test_fact_4_what_lies_between_two_points_is_in_their_box(name: str, form: str):
    """FACT-4, open ends included: these functions fall, and then rise"""
    ends = [-math.inf, -300.0, -4.0, -1.5, -0.7, -1e-9, 0.0, 0.4, 3.5, math.inf]
    pairs = [(a, b) for i, a in enumerate(ends) for b in ends[i:] if not (a == b and math.isinf(a))]
    box = found(name, form, *zip(*pairs, strict=True))
    for (low, high), least, most in zip(pairs, box.low.tolist(), box.high.tolist(), strict=True):
        assert least >= -0.376
        assert most >= 0 or high < 0
        for x in NUMBERS:
            if low <= x <= high:
                value = EXACT[name, form](mpf(x))
                assert mpf(least) <= value <= mpf(most), (x, low, high)


@pytest.mark.parametrize(("name", "form"), EXACT)
def test_fact_4_a_gate_keeps_zero_and_makes_none(name: str, form: str):
    """FACT-4: SiLU of -1000 is 0 in float64 and is not 0; a hard gate does close"""
    assert found(name, form, 0.0, 0.0).is_zero.all()
    assert found(name, form, [-1000.0, -1e200], [-1000.0, -1e200]).is_zero.all() == (
        name == "hardswish"
    )
    assert not found(name, form, [-5e-324, 5e-324], [-5e-324, 5e-324]).is_zero.any()


@pytest.mark.parametrize(
    "layer", [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish()]
)
def test_fact_4_a_unit_that_nothing_reaches_is_a_constant_behind_a_gate(layer: nn.Module):
    """FACT-4, element by element"""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), layer).double().eval()
    with torch.no_grad():
        net[0].weight[2] = 0
        net[0].bias[2] = -1
    program = morphir.trace(net, example_inputs=(torch.randn(3, 4, dtype=torch.float64),))
    graph = program.graphs["forward"]
    state = {name: entry.tensor for name, entry in program.state.items()}
    box = propagate_boxes(graph, state, DEFAULT_TABLE)[graph.outputs[0][1]]
    width = (box.high - box.low)[0]
    assert width.isinf().tolist() == [True, True, False, True, True]
    assert width[2] < 1e-14
