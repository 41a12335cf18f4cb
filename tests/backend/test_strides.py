"""Axes stay in the order in which they follow one another in memory."""

import pytest
import torch

from morphir.backend.strides import laid_out_as


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_the_order_of_strides_is_kept_and_the_numbers_too(order):
    back = sorted(range(4), key=order.__getitem__)
    other = torch.empty(2, 3, 4, 5).permute(order).contiguous().permute(back)
    tensor = torch.randn(7, 3, 4, 6)
    found = laid_out_as(tensor, other)
    assert torch.equal(found, tensor)
    assert found.permute(order).is_contiguous()


def test_vectors_and_scalars():
    assert laid_out_as(torch.arange(6)[::2], torch.zeros(2)).is_contiguous()
    assert laid_out_as(torch.tensor(3.0), torch.tensor(1.0)).item() == 3.0
