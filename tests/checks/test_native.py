"""RUN-2, in the stored dtype."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from morphir.checks import check_native, double_copy, private_copy
from morphir.checks.calling import Arguments
from morphir.ir import Check, Grade
from tests.checks.pairs import Net, pair


def inputs(*tensors: torch.Tensor) -> dict[str, Arguments]:
    return {"forward": (tensors or (torch.randn(4, 8),), {})}


def native(
    before: nn.Module, after: nn.Module, *tensors: torch.Tensor, lifted: bool = True
) -> Check:
    reference = double_copy(before) if lifted else None
    return check_native(private_copy(before), private_copy(after), inputs(*tensors), reference)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def test_run_2_says_when_the_bits_are_the_same():
    model = mlp()
    check = native(model, copy.deepcopy(model))
    assert check.grade is Grade.TESTED
    assert check.summary == "the same bits on 4 inputs"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_run_2_lets_another_rounding_pass(dtype: torch.dtype):
    """Two ways to sum the same products."""
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: (
            (x[:, :32] @ s.a.weight[:, :32].T + x[:, 32:] @ s.a.weight[:, 32:].T) + s.a.bias
        ),
        a=nn.Linear(64, 16, dtype=dtype),
    )
    check = native(before, after, torch.randn(32, 64, dtype=dtype))
    assert check.grade is Grade.TESTED
    assert check.summary.endswith("no less accurate on 32 inputs")


def test_run_2_refutes_what_is_worse_than_rounding():
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: (s.a(x) * 1024 + 1).to(torch.bfloat16).float() / 1024 - 2**-10,
        a=nn.Linear(64, 16),
    )
    x = torch.randn(32, 64)
    check = native(before, after, x)
    assert check.grade is Grade.REFUTED
    assert "from its float64 result" in check.summary
    before, after = pair(
        lambda s, x: s.a(x), lambda s, x: s.a(x) / (x[:1, :1] * 0), a=nn.Linear(64, 16)
    )
    assert native(before, after, x).grade is Grade.REFUTED


@pytest.mark.parametrize(
    ("rows", "units", "grade"),
    [
        (1, 0.5, Grade.TESTED),
        (1, 9, Grade.TESTED),
        (1, 11, Grade.REFUTED),
        (4, 5, Grade.TESTED),
        (4, 11, Grade.REFUTED),
        (400, 1.5, Grade.TESTED),
        (400, 3, Grade.REFUTED),
    ],
)
def test_run_2_the_fewer_numbers_the_further_apart_two_errors_are(
    rows: int, units: float, grade: Grade
):
    """RUN-2: of 4, 16 and 1,600 numbers, so many units in the last place further off"""
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: (s.a(x).double() * (1 + units * 2**-23)).float(),
        a=nn.Linear(8, 4),
    )
    assert native(before, after, torch.randn(rows, 8)).grade is grade


def test_run_2_in_float64_nobody_can_say_which_of_two_results_is_worse():
    """RUN-2: three terms that cancel, added in another order, and what is really another number"""
    ones = torch.ones(4, 1, dtype=torch.float64)
    terms = torch.tensor([0.1, 0.2, -0.3], dtype=torch.float64)
    before, reordered = pair(
        lambda s, x: x * ((terms[0] + terms[1]) + terms[2]),
        lambda s, x: x * (terms[0] + (terms[1] + terms[2])),
    )
    assert not torch.equal(before(ones), reordered(ones))
    check = native(before, reordered, ones)
    assert (check.name, check.grade) == ("native", Grade.UNKNOWN)
    before, close = pair(lambda s, x: x, lambda s, x: x * (1 + 2**-50))
    assert native(before, close, ones).grade is Grade.TESTED
    before, other = pair(lambda s, x: x, lambda s, x: x * 2)
    assert native(before, other, ones).grade is Grade.UNKNOWN


def test_run_2_without_a_float64_result_wants_the_same_bits():
    before, after = pair(
        lambda s, x: s.a(x),
        lambda s, x: s.a(x * 3) / 3 - s.a.bias / 3 + s.a.bias,
        a=nn.Linear(8, 4),
    )
    assert native(before, copy.deepcopy(before), lifted=False).grade is Grade.TESTED
    assert native(before, after, lifted=False).grade is Grade.UNKNOWN


def test_run_2_finds_integers_shapes_and_errors():
    def verdict(new: Any) -> Grade:
        before, after = pair(lambda s, x: (s.a(x), s.a(x).argmax(1)), new, a=nn.Linear(8, 4))
        return native(before, after).grade

    assert verdict(lambda s, x: (s.a(x), (s.a(x) + 0).argmax(1))) is Grade.TESTED
    assert verdict(lambda s, x: (s.a(x), s.a(x).argmin(1))) is Grade.REFUTED
    assert verdict(lambda s, x: (s.a(x)[:1], s.a(x).argmax(1))) is Grade.REFUTED
    assert verdict(lambda s, x: s.a(x)) is Grade.REFUTED
    assert verdict(lambda s, x: s.nothing) is Grade.REFUTED


def test_run_2_says_unknown_where_the_old_model_cannot_run():
    broken = Net(lambda s, x: s.nothing, a=nn.Linear(8, 4))
    check = native(broken, copy.deepcopy(broken))
    assert check.grade is Grade.UNKNOWN
    assert "AttributeError" in check.summary
