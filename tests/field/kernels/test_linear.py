"""FIELD-1: products of matrices, convolutions and averages of lifted numbers are exact."""

from typing import Any

import pytest
import torch
from torch.nn import functional as F

from morphir.field.kernels import linear
from morphir.field.modular import Unsupported
from tests.field.lifted import FIELD, Case, assert_lifts, call, cases, whole

aten = torch.ops.aten
X, W, V = whole(3, 4), whole(5, 4), whole(4)
LINE, IMAGE, BOX = whole(2, 4, 9), whole(2, 4, 7, 6), whole(2, 4, 5, 4, 4)
CELLS = 2**4 * 27 * 5 * 7  # a sum of numbers times this can be divided by any size of a window


def of(size: int, axes: int) -> torch.Tensor:
    return whole(2, 3, *[size] * axes, times=CELLS)


def pooled(axes: int, name: str, **options: object) -> Case:
    function = getattr(F, f"avg_pool{axes}d")
    return name, lambda x: function(x, **options), (of(5, axes),)


CASES: list[Case] = [
    ("mm", lambda x, w: x @ w.t(), (X, W)),
    ("bmm", torch.bmm, (whole(2, 3, 4), whole(2, 4, 5))),
    ("bmm", lambda x, y: torch.einsum("bhij,bhkj->bhik", x, y), (IMAGE, IMAGE)),
    ("matmul", lambda x, y: x @ y, (whole(2, 1, 3, 4), whole(3, 4, 5))),
    ("mv", lambda x, v: x @ v, (X, V)),
    ("dot", torch.dot, (V, V)),
    ("linear", F.linear, (whole(2, 3, 4), W, whole(5))),
    ("linear", F.linear, (X, W)),
    ("addmm", lambda b, x, w: torch.addmm(b, x, w.t(), beta=2, alpha=-3), (whole(5), X, W)),
    ("addmv", lambda b, x, v: torch.addmv(b, x, v, beta=0.5), (whole(3), X, V)),
    ("baddbmm", torch.baddbmm, (whole(2, 3, 5), whole(2, 3, 4), whole(2, 4, 5))),
    ("_trilinear", F.bilinear, (X, V.expand(3, 4), whole(2, 4, 4), whole(2))),
    ("convolution", lambda x, w: F.conv1d(x, w, padding=1), (LINE, whole(2, 4, 3))),
    ("convolution", F.conv1d, (LINE[0], whole(2, 4, 3))),
    (
        "convolution",
        lambda x, w, b: F.conv2d(x, w, b, stride=(2, 1), padding=(1, 0), dilation=2, groups=2),
        (IMAGE, whole(6, 2, 2, 3), whole(6)),
    ),
    ("convolution", lambda x, w: F.conv2d(x, w, groups=4), (IMAGE, whole(8, 1, 3, 3))),
    ("convolution", lambda x, w: F.conv2d(x, w, padding="same"), (IMAGE, whole(1, 4, 3, 5))),
    ("convolution", F.conv3d, (BOX, whole(2, 4, 2, 2, 2), whole(2))),
    (
        "convolution",
        lambda x, w, b: F.conv_transpose2d(
            x, w, b, stride=2, padding=1, output_padding=1, groups=2
        ),
        (IMAGE, whole(4, 3, 3, 3), whole(6)),
    ),
    ("convolution", F.conv_transpose1d, (LINE, whole(4, 2, 3))),
    (
        "_convolution",
        lambda x, w: aten._convolution(
            x, w, None, [1], [0], [1], False, [0], 1, False, False, False, False
        ),
        (LINE, whole(2, 4, 3)),
    ),
    pooled(1, "avg_pool1d", kernel_size=2),
    pooled(1, "avg_pool1d", kernel_size=3, stride=2, padding=1, count_include_pad=False),
    pooled(1, "avg_pool1d", kernel_size=2, stride=2, ceil_mode=True),
    pooled(2, "avg_pool2d", kernel_size=(2, 3)),
    pooled(2, "avg_pool2d", kernel_size=3, stride=2, padding=1, ceil_mode=True),
    pooled(2, "avg_pool2d", kernel_size=3, stride=2, padding=1, count_include_pad=False),
    pooled(2, "avg_pool2d", kernel_size=2, divisor_override=7),
    pooled(3, "avg_pool3d", kernel_size=2, padding=1, ceil_mode=True),
    pooled(3, "avg_pool3d", kernel_size=3, divisor_override=5),
    ("adaptive_avg_pool1d", lambda x: F.adaptive_avg_pool1d(x, 3), (of(7, 1),)),
    ("adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, 1)), (of(7, 2),)),
    ("_adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (None, 5)), (of(7, 2),)),
    ("adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, 2), (of(5, 3),)),
    ("_adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, (4, 2, 1)), (of(5, 3),)),
    ("_adaptive_avg_pool2d", lambda x: F.interpolate(x, size=3, mode="area"), (of(7, 2),)),
]


@cases(*CASES)
def test_field_1_what_is_computed_of_lifted_numbers_is_the_lifted_result(case: Case):
    assert_lifts(case)


def test_field_1_products_of_numbers_that_no_product_of_floats_holds_are_exact():
    left, right = torch.randn(4, 300), torch.randn(300, 3)
    found = call(torch.mm, left, right).tolist()
    a, b = FIELD.lift(left).tolist(), FIELD.lift(right).t().tolist()
    exact = [[sum(map(int.__mul__, row, column)) % FIELD.prime for column in b] for row in a]
    assert found == exact


def test_field_1_a_mean_of_three_is_a_third_of_their_sum():
    line = torch.randn(1, 1, 9)
    thrice, total = call(lambda x: (F.avg_pool1d(x, 3) * 3, x.reshape(3, 3).sum(1)), line)
    assert torch.equal(thrice.reshape(-1), total)


def test_weights_that_a_model_made_itself_are_lifted_where_they_meet_others():
    kernel = torch.tensor([[[1.0, -2.0, 1.0]]])
    found = call(lambda x: F.conv1d(x, kernel), LINE[:, :1])
    assert torch.equal(found, FIELD.lift(F.conv1d(LINE[:, :1], kernel)))


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (torch.dot, [(2**19 + 1,), (2**19 + 1,)]),
        (F.conv1d, [(1, 2, 2**18 + 1), (1, 2, 2**18 + 1)]),
        (F.conv_transpose1d, [(1, 2, 1), (2, 1, 2**18 + 1)]),
    ],
)
def test_sums_that_are_too_long_to_be_exact_are_refused(function: Any, shapes: list[Any]):
    with pytest.raises(Unsupported, match="products are too long"):
        call(function, *[torch.ones(shape) for shape in shapes])


def test_products_of_long_matrices_are_summed_in_parts():
    """FIELD-1"""
    left, right = torch.randint(-9, 9, (2, 5000)).double(), torch.randint(-9, 9, (5000, 3)).double()
    assert torch.equal(call(torch.mm, left, right), FIELD.lift(left @ right))
    batch = [torch.stack([each, -each]) for each in (left, right)]
    assert torch.equal(call(torch.bmm, *batch), FIELD.lift(torch.bmm(*batch)))


def test_the_cases_cover_the_table():
    assert {name for name, *_ in CASES} == linear.COMPUTED.keys()
