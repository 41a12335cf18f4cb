"""Python reads no outcome of a comparison, whatever it reads it by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from morphir.field.modular import Unsupported
from morphir.field.reading import is_compared, mark_compared
from tests.field.lifted import FIELD, call, whole

X = whole(3, 4)


def written(x: torch.Tensor) -> bool:
    """Into a view, to be read in another view of the same memory."""
    flags = torch.zeros(2, dtype=torch.bool)
    last = flags[1:]
    flags[1] = (x > 0).all()
    return bool(last)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "read",
    [
        lambda x: 1 if x.sum() > 0 else 0,
        lambda x: 1 if (x == 1).logical_not().any() else 0,
        lambda x: int((x > 0).sum()),
        lambda x: [place.item() for place in (x > 0).nonzero()[0]],
        lambda x: torch.equal(x > 0, x > 1),
        lambda x: (x > 0).tolist(),
        lambda x: (x > 0).sum().tolist(),
        lambda x: (x > 0).numpy(),
        lambda x: np.asarray(x > 0),
        lambda x: np.from_dlpack((x > 0).long()),
        lambda x: len((x > 0).nonzero()),
        lambda x: len(torch.where(x > 0)[0]),
        lambda x: len(x[x > 0]),
        lambda x: len(torch.arange(12.0).reshape(3, 4)[:, (x > 0)[0]]),
        lambda x: len(x.masked_select(x > 0)),
        lambda x: len((x > 0).unique()),
        lambda x: x.count_nonzero() > 3 and 1,
    ],
)
def test_what_hands_it_to_python_is_refused(read: Callable[..., Any], inference: bool):
    with pytest.raises(Unsupported, match="Python decides by a number"):
        call(read, X, inference=inference)


def test_what_is_written_into_a_tensor_is_read_in_none_of_its_views():
    with pytest.raises(Unsupported, match="Python decides by a number"):
        call(written, X)


def test_a_comparison_may_be_computed_with():
    def compute(x: torch.Tensor) -> list[torch.Tensor]:
        mask = x == x.flip(1)
        assert not torch.ops.aten.is_same_size(mask, mask[0])
        weights = torch.tensor([2.0, 5.0])[mask.long()]
        return [x * mask, x * mask.float()[:, [1, 0]].sum(), weights * x, torch.where(mask, x, 3)]

    assert all(map(torch.equal, call(compute, X), map(FIELD.lift, compute(X))))


def test_python_may_decide_by_what_depends_on_no_number():
    def decides(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        assert mask.tolist() == mask.numpy().tolist() == [True, False]
        assert len(x[:2][mask]) == 1
        if not mask.all() and (torch.arange(3) > 1).any() and not x.isnan().any():
            return x * 2
        return x

    found = call(decides, X, torch.tensor([True, False]))
    assert torch.equal(found, FIELD.lift(X * 2))


def test_python_may_go_to_places_that_the_keyed_order_chose():
    def routed(x: torch.Tensor) -> torch.Tensor:
        places = F.one_hot(x.argmax(1), 4)
        for expert in (places.sum(0) > 0).nonzero().flatten():
            if expert < 4:
                x = x + places[:, expert, None] * (expert + 1)
        return x

    one, other = call(lambda x: (routed(x), x + x.argmax(1)[:, None] + 1), X)
    assert torch.equal(one, other)


def test_a_mark_is_on_the_memory():
    whole_one, other = torch.zeros(3), torch.zeros(3)
    before, not_one = whole_one[:2], "tensor"
    mark_compared([not_one, whole_one[1:]])
    for tensor, expected in ((whole_one, True), (before, True), (other, False), (other[1:], False)):
        assert is_compared(tensor) is expected
    assert is_compared(not_one) is False
