"""FIELD-5: the order of numbers is a keyed one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from morphir.field.kernels import ordering
from tests.field.lifted import FIELD, call, lift, new_run, whole

X = torch.randn(6, 4)
X[2] = X[3]
LINE, IMAGE, CUBE = torch.randn(2, 3, 9), torch.randn(2, 3, 7, 6), torch.randn(1, 2, 5, 4, 4)

# Kernel and rule: two sides that are equal whatever the order is.
Law = Callable[..., tuple[torch.Tensor, torch.Tensor]]
LAWS: list[tuple[str, Law, torch.Tensor]] = [
    ("amax", lambda x: (x.amax(1), x.flip(1).amax(1)), X),
    ("amax", lambda x: (x.amax((0, 1), keepdim=True), x.amax().reshape(1, 1)), X),
    ("amax", lambda x: (x.amax((2, 0)), x.amax(0).amax(1)), LINE),
    ("amax", lambda x: (x.amax(-1, keepdim=True), x.amax(2).unsqueeze(2)), LINE),
    ("amin", lambda x: (x.amin(1), x.sort(1)[0][:, 0]), X),
    ("amin", lambda x: (x[:, :1].amin(1), x[:, 0]), X),
    ("max", lambda x: (x.max(1)[0], x.amax(1)), X),
    ("max", lambda x: (x.max(0, keepdim=True)[0], x.gather(0, x.max(0, True)[1])), X),
    ("max", lambda x: (x.max(), x.amax()), X),
    ("max", lambda x: (x.max(x.flip(0)), x.maximum(x.flip(0))), X),
    ("min", lambda x: (x.min(1)[0], x.amin(1)), X),
    ("min", lambda x: (x.min(), x.amin()), X),
    ("min", lambda x: (x.min(x.flip(0)), x.minimum(x.flip(0))), X),
    ("argmax", lambda x: (x.gather(1, x.argmax(1, keepdim=True)), x.amax(1, keepdim=True)), X),
    ("argmax", lambda x: (x.reshape(-1)[x.argmax()], x.amax()), X),
    ("argmin", lambda x: (x.gather(0, x.argmin(0, True)), x.amin(0, True)), X),
    ("argsort", lambda x: (x.gather(1, x.argsort()), x.sort()[0]), X),
    ("argsort", lambda x: (x.argsort(dim=0, stable=True), x.sort(0)[1]), X),
    ("sort", lambda x: (x.sort()[0], x.flip(1).sort()[0]), X),
    ("sort", lambda x: (x.gather(0, x.sort(0)[1]), x.sort(0)[0]), X),
    ("sort", lambda x: (x.sort(dim=0, stable=True)[0], x.sort(0)[0]), X),
    ("sort", lambda x: (x.sort(0, descending=True)[0], x.sort(0)[0].flip(0)), X),
    ("topk", lambda x: (x.topk(3)[0], x.sort(descending=True)[0][:, :3]), X),
    ("topk", lambda x: (x.topk(2, 0, largest=False)[0], x.sort(0)[0][:2]), X),
    ("topk", lambda x: (x.gather(1, x.topk(2)[1]), x.topk(2)[0]), X),
    ("max_pool1d", lambda x: (F.max_pool1d(x, 2), x.unfold(-1, 2, 2).amax(-1)), LINE),
    ("max_pool1d", lambda x: (F.max_pool1d(x, 3, 2), x.unfold(-1, 3, 2).amax(-1)), LINE),
    ("max_pool2d_with_indices", lambda x: (F.max_pool2d(x, 2), of_windows(x, 2, 2)), IMAGE),
    ("max_pool2d_with_indices", lambda x: (F.max_pool2d(x, 2, 1), of_windows(x, 2, 1)), IMAGE),
    ("max_pool2d_with_indices", lambda x: (F.max_pool2d(x[0], 2), of_windows(x, 2, 2)[0]), IMAGE),
    (
        "max_pool2d_with_indices",
        lambda x: (F.max_pool2d(x, 3, 2, 1, ceil_mode=True)[..., 1:3, 1:3], inner(x)),
        IMAGE,
    ),
    (
        "max_pool3d_with_indices",
        lambda x: (F.max_pool3d(x, 2, 1), of_windows(x, 2, 1)),
        CUBE,
    ),
    ("adaptive_max_pool1d", lambda x: (F.adaptive_max_pool1d(x, 3), F.max_pool1d(x, 3)), LINE),
    ("adaptive_max_pool1d", lambda x: (F.adaptive_max_pool1d(x, 1), x.amax(-1, True)), LINE),
    (
        "adaptive_max_pool2d",
        lambda x: (F.adaptive_max_pool2d(x, (7, 2)), F.max_pool2d(x, (1, 3))),
        IMAGE,
    ),
    ("adaptive_max_pool3d", lambda x: (F.adaptive_max_pool3d(x, 1), x.amax((2, 3, 4), True)), CUBE),
]


def of_windows(x: torch.Tensor, size: int, stride: int) -> torch.Tensor:
    """The largest of each window, without pooling."""
    axes = range(2, x.dim())
    for axis in axes:
        x = x.unfold(axis, size, stride)
    return x.flatten(-len(axes)).amax(-1)


def inner(x: torch.Tensor) -> torch.Tensor:
    """The windows of 3 by 3 that the border of a pool with stride 2 and padding 1 is not in."""
    return of_windows(x[..., 1:, 1:], 3, 2)[..., :2, :2]


@pytest.mark.parametrize(("name", "law", "numbers"), LAWS, ids=[name for name, *_ in LAWS])
def test_field_5_rules_of_every_order(name: str, law: Law, numbers: torch.Tensor):
    used: set[str] = set()
    for inference in (False, True):
        one, other = call(law, numbers, run=new_run(used=used), inference=inference)
        assert torch.equal(one, other)
    assert name in used


@pytest.mark.parametrize("shape", [(5,), (2, 3), ()])
def test_field_5_the_largest_is_one_of_them(shape: tuple[int, ...]):
    numbers = torch.randn(shape)
    for function in (torch.amax, torch.amin, torch.max, torch.min):
        assert call(function, numbers) in FIELD.lift(numbers)


def test_field_5_sorting_permutes_and_is_no_order_of_the_floats():
    numbers = torch.arange(50.0)
    found, places = call(lambda x: tuple(x.sort()), numbers)
    assert sorted(found.tolist()) == sorted(places.tolist()) == [*range(50)]
    assert found.tolist() != [*range(50)]


def test_field_5_equal_numbers_stay_in_their_order():
    numbers = whole(200, most=2)
    found, places = call(lambda x: tuple(x.sort()), numbers)
    assert (found.diff() != 0).sum() == len(numbers.unique()) - 1
    assert (places.diff()[found.diff() == 0] > 0).all()


def test_field_5_the_same_numbers_are_chosen_in_every_tensor_of_one_run():
    one, other = call(lambda x: (x.argmax(1), (x * 1.0).argmax(1)), X)
    assert torch.equal(one, other)
    assert one[2] == one[3], "equal rows"


def test_field_5_other_runs_have_other_orders():
    numbers, run = torch.randn(30), new_run()
    with run:
        orders = []
        for key in ("one", "other", "one"):
            run.begin(key)
            orders.append(lift(numbers, run).argsort())
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


def test_places_of_pools_are_where_the_numbers_are():
    image = torch.randn(2, 3, 6, 6)
    found, places = call(lambda x: F.max_pool2d(x, 2, return_indices=True), image)
    assert torch.equal(FIELD.lift(image).flatten(2).gather(2, places.flatten(2)), found.flatten(2))
    back = call(lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), image)
    assert torch.equal(back.flatten(2).gather(2, places.flatten(2)), found.flatten(2))


def test_the_rules_cover_the_table():
    assert {name for name, *_ in LAWS} == ordering.COMPUTED.keys()
