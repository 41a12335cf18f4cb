"""RUN-9: bounds move with the numbers."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.checks.running.sound import Function, assert_bounded, bounded

CASES: dict[str, Function] = {
    "view": lambda x: x.view(2, -1).t(),
    "permute": lambda x: x.permute(3, 0, 2, 1).contiguous(),
    "expand": lambda x: x[:, :1].expand(-1, 5, -1, -1),
    "slice": lambda x: x[:, 1:3, ::2],
    "cat": lambda x: torch.cat([x, x * 0.3], 1),
    "stack": lambda x: torch.stack([x, x * 0.3], -1),
    "chunk": lambda x: x.chunk(2, 1)[1],
    "index": lambda x: x[:, torch.tensor([2, 0, 0])],
    "gather": lambda x: x.gather(1, torch.zeros(2, 1, 4, 4).long()),
    "roll": lambda x: x.roll(1, 2),
    "flip": lambda x: x.flip(1, 2),
    "pad": lambda x: F.pad(x, (1, 2, 0, 1), value=3.0),
    "reflected pad": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "triangle": lambda x: x.tril(),
    "repeat": lambda x: x.repeat(1, 2, 1, 1),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "shuffle": lambda x: F.pixel_shuffle(x, 2),
    "unfold": lambda x: F.unfold(x, 2),
    "nearest": lambda x: F.interpolate(x, scale_factor=2),
    "max_pool2d": lambda x: F.max_pool2d(x, 2),
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 2),
    "masked_fill": lambda x: x.masked_fill(torch.ones(4, 4).triu().bool(), 7.0),
    "scatter": lambda x: x.scatter(1, torch.zeros(2, 1, 4, 4).long(), 0.25),
    "clone": lambda x: x.clone(),
    "to a wider dtype": lambda x: x.double(),
}


@pytest.mark.parametrize("function", CASES.values(), ids=CASES)
def test_run_9_what_is_moved_keeps_its_bound(function: Function):
    """RUN-9"""
    torch.manual_seed(0)
    assert_bounded(function, torch.randn(2, 4, 4, 4))


def test_run_9_a_number_that_replaces_others_is_exact():
    """RUN-9"""
    mask = torch.tensor([True, False])
    _, bound, _ = bounded(lambda x: (x * 0.3).masked_fill(mask, 7.0), torch.randn(2))
    assert bound[0] == 0 < bound[1]
    _, bound, _ = bounded(lambda x: torch.zeros_like(x * 0.3), torch.randn(2))
    assert not bound.any()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: torch.cat([x * 0.3, n]),
        lambda x, n: torch.stack([x * 0.3, n]),
        lambda x, n: (x * 0.3).clone().copy_(n),
        lambda x, n: (x * 0.3).fill_(n[0]),
        lambda x, n: (x * 0.3).masked_fill(torch.tensor([True, False]), n[0]),
    ],
    ids=["cat", "stack", "copy", "fill", "masked_fill"],
)
def test_run_9_whole_numbers_among_others_are_exact(function: Callable[..., torch.Tensor]):
    """RUN-9"""
    result, bound, _ = bounded(function, torch.tensor([0.7, 0.9]), torch.tensor([-3, 5]))
    assert float(bound.min()) >= 0
    assert not bound[result == result.round()].any()


def test_run_9_a_cast_to_a_shorter_dtype_rounds_and_one_to_integers_is_not_known():
    """RUN-9"""
    x = torch.randn(8)
    result, bound, _ = bounded(lambda x: (x * 0.3).bfloat16().float(), x)
    assert bool(((x.double() * 0.3 - result).abs() <= bound).all())
    assert float(bound.max()) > 1e-4
    _, bound, run = bounded(lambda x: (x * 3).long() * 1.0, x)
    assert bool(bound.isinf().all())
    assert run.without_rule


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.index_put((torch.tensor([0, 0]),), x[:2] * 0.3, accumulate=True),
        lambda x: (x * 0.3).scatter(0, torch.zeros(1, 4).long(), 3.0, reduce="multiply"),
    ],
)
def test_run_9_numbers_that_add_up_where_they_go_have_no_rule(function: Function):
    """RUN-9"""
    _, bound, run = bounded(function, torch.randn(2, 4))
    assert run.without_rule
    assert bool(bound.isinf().any())
