"""RUN-9: bounds of sums and products hold."""

import pytest
import torch
import torch.nn.functional as F

from tests.checks.running.sound import Function, assert_bounded, bounded

CASES: dict[str, tuple[Function, tuple[tuple[int, ...], ...]]] = {
    "mm": (torch.mm, ((5, 300), (300, 4))),
    "bmm": (torch.bmm, ((2, 5, 7), (2, 7, 4))),
    "mv": (torch.mv, ((5, 7), (7,))),
    "dot": (torch.dot, ((50,), (50,))),
    "linear": (F.linear, ((3, 7), (5, 7), (5,))),
    "linear without a bias": (F.linear, ((3, 7), (5, 7))),
    "linear on more axes": (F.linear, ((2, 3, 7), (5, 7), (5,))),
    "addmm": (lambda c, a, b: torch.addmm(c, a, b, beta=-2, alpha=0.3), ((3, 4), (3, 7), (7, 4))),
    "addmv": (torch.addmv, ((5,), (5, 7), (7,))),
    "baddbmm": (torch.baddbmm, ((2, 3, 4), (2, 3, 7), (2, 7, 4))),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, stride=2), ((2, 3, 9), (4, 3, 3), (4,))),
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, padding=1), ((2, 3, 6, 6), (4, 3, 3, 3), (4,))),
    "conv2d, groups": (lambda x, w: F.conv2d(x, w, groups=2), ((2, 4, 6, 6), (4, 2, 3, 3))),
    "conv3d": (F.conv3d, ((1, 2, 4, 4, 4), (3, 2, 2, 2, 2), (3,))),
    "conv_transpose2d": (
        lambda x, w, b: F.conv_transpose2d(x, w, b, stride=2, groups=2),
        ((2, 4, 5, 5), (4, 3, 3, 3), (6,)),
    ),
    "sum": (lambda x: x.sum(), ((30, 40),)),
    "sum over an axis": (lambda x: x.sum(1, keepdim=True), ((30, 40),)),
    "mean": (lambda x: x.mean((0, 2)), ((3, 4, 5),)),
    "cumsum": (lambda x: x.cumsum(-1), ((3, 50),)),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 3), ((2, 3, 12),)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2, padding=1), ((2, 3, 6, 6),)),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2), ((1, 2, 4, 4, 4),)),
    "adaptive_avg_pool1d": (lambda x: F.adaptive_avg_pool1d(x, 3), ((2, 3, 7),)),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (2, 3)), ((2, 3, 7, 7),)),
    "interpolate": (
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        ((2, 3, 5, 5),),
    ),
    "scatter_add": (
        lambda x, y: x.scatter_add(0, torch.tensor([[0, 1, 0], [0, 0, 1]]), y),
        ((2, 3), (2, 3)),
    ),
    "index_add": (lambda x, y: x.index_add(0, torch.tensor([1, 1, 0]), y), ((2, 3), (3, 3))),
    "add": (torch.add, ((3, 4), (4,))),
    "add with a factor": (lambda x, y: torch.add(x, y, alpha=0.3), ((3, 4), (4,))),
    "sub": (torch.sub, ((3, 4), (3, 1))),
    "rsub with a factor": (lambda x, y: torch.rsub(x, y, alpha=3), ((3, 4), (4,))),
    "1 - x": (lambda x: 1 - x, ((7,),)),
    "x + 0.1": (lambda x: x + 0.1, ((7,),)),
    "mul": (torch.mul, ((3, 4), (4,))),
    "0.3 x": (lambda x: 0.3 * x, ((7,),)),
    "div": (lambda x, y: x / (y + 2), ((3, 4), (4,))),
    "x / 3": (lambda x: x / 3, ((7,),)),
    "1 / x": (lambda x: 1 / (x + 2), ((7,),)),
    "addcmul": (lambda x, y, z: torch.addcmul(x, y, z, value=0.7), ((4,), (4,), (4,))),
    "addcdiv": (lambda x, y, z: torch.addcdiv(x, y, z + 3, value=0.7), ((4,), (4,), (4,))),
    "lerp": (torch.lerp, ((3, 4), (3, 4), (3, 4))),
    "lerp by a number": (lambda x, y: torch.lerp(x, y, 0.3), ((3, 4), (3, 4))),
}


@pytest.mark.parametrize(("function", "shapes"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", range(2))
def test_run_9_no_sum_or_product_is_further_off_than_its_bound(function, shapes, seed: int):
    """RUN-9"""
    torch.manual_seed(seed)
    assert_bounded(function, *(torch.randn(each) * 3 for each in shapes))


def test_run_9_sums_without_rounding_have_no_bound_to_speak_of():
    """RUN-9: the bound is about rounding, not about the size of numbers."""
    _, short, _ = bounded(torch.mm, torch.ones(2, 3), torch.ones(3, 2))
    _, long, _ = bounded(torch.mm, torch.ones(2, 300), torch.ones(300, 2))
    assert 0 < float(short.max()) < 1e-6
    assert float(long.max()) > 50 * float(short.max())


def test_run_9_cancellation_is_no_relative_error():
    """RUN-9: what is left of a difference is as far off as its terms were."""
    x = torch.tensor([1e6])
    result, bound, _ = bounded(lambda y: (y * 1.1 + 0.3) - y * 1.1, x)
    assert abs(float(result) - 0.3) > 1e-3
    assert abs(float(result) - 0.3) <= float(bound) < 1


def test_run_9_a_divisor_that_may_be_zero_bounds_nothing():
    """RUN-9"""
    x = torch.tensor([0.1])
    _, bound, _ = bounded(lambda y: 1 / (y * 3 - 0.3), x)
    assert bool(bound.isinf().all())
