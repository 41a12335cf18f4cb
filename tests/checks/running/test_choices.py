"""RUN-9: a choice that rounding may change has no bound, any other has."""

import torch

from tests.checks.running.sound import assert_bounded, bounded

NEAR = torch.tensor([0.1, 0.5])  # three times the first is 0.3 but for rounding


def test_run_9_a_comparison_that_rounding_decides_bounds_nothing():
    """RUN-9"""
    _, bound, _ = bounded(lambda x: torch.where(x * 3 > 0.3, x, x + 1), NEAR)
    assert bound.isinf().tolist() == [True, True]  # nothing is known of a mask that is in doubt
    _, bound, _ = bounded(lambda x: torch.where(x * 3 > 0.2, x, x + 1), NEAR)
    assert bool(bound.isfinite().all())


def test_run_9_extremes_are_off_by_no_more_than_their_numbers():
    """RUN-9"""
    x = torch.randn(4, 30)
    for function in (
        lambda x: x.amax(1),
        lambda x: x.amin((0, 1)),
        lambda x: x.max(),
        lambda x: x.min(0, keepdim=True)[0],
        lambda x: x.sort(-1, descending=True)[0],
        lambda x: x.sort(dim=0)[0],
        lambda x: x.topk(3)[0],
    ):
        assert_bounded(function, x)


def test_run_9_positions_are_known_where_there_are_gaps():
    """RUN-9"""
    table = torch.randn(5, 3)

    def chosen(x: torch.Tensor) -> torch.Tensor:
        return table.to(x)[x.argmax(-1)] * 0.3

    apart, tie = torch.eye(5), torch.full((2, 5), 0.7)
    assert bool(bounded(lambda x: chosen(x * 0.3), apart)[1].isinf().all())  # four equal numbers
    ladder = torch.arange(5.0).expand(2, 5)
    assert bool(bounded(lambda x: chosen(x * 0.3), ladder)[1].isfinite().all())
    assert bool(bounded(lambda x: chosen(x * 0.3), tie)[1].isinf().all())
    assert bool(bounded(chosen, tie)[1].isfinite().all())  # exact numbers are never in doubt


def test_run_9_masks_that_rounding_has_not_touched_are_certain():
    """RUN-9"""
    x = torch.randn(4, 4)
    mask = torch.ones(4, 4).tril().bool()
    assert_bounded(lambda x: x.masked_fill(~mask, 0.0), x)
    assert_bounded(lambda x: x.masked_fill(~(mask & mask.any()), -torch.inf).softmax(-1), x)
