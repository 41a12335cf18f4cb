"""KEPT-7: what belongs to a unit goes where its copies go, scaled as what it is."""

import pytest
import torch
from torch import nn

from morphir.checks.carried import Carried, belongings, check_carried
from morphir.ir import AxisMap, Grade, Mapped
from tests.backend.exact import peak_of
from tests.checks.changed_nets import grown

WIDER = grown(4, 2, -1)
SHARE = torch.tensor([1.0, 1.0, 1.25, 1.0, -0.25, 0.0])
SOURCE = torch.tensor([0, 1, 2, 3, 2, 0])
OLD = torch.tensor([[1.0, 2.0], [3.0, -4.0], [5.0, 6.0], [7.0, 8.0]])
COPY, SPLIT = (Mapped(4, WIDER, "copy"), Mapped(2)), (Mapped(2), Mapped(4, WIDER, "split"))


def carried(entry: str, new: torch.Tensor, change=COPY, old: torch.Tensor = OLD) -> bool:
    check = check_carried([Carried("0.weight", entry, change, old, new)])
    assert (check.grade is Grade.TESTED) != bool(check.where)
    summary = "1 tensor of gradients and optimizer state went along"
    assert (check.summary == summary) is (check.grade is Grade.TESTED)
    return check.grade is Grade.TESTED


def scaled(scale: torch.Tensor) -> torch.Tensor:
    return OLD[SOURCE] * scale[:, None]


RIGHT = {"grad": SHARE, "exp_avg": SHARE, "exp_avg_sq": SHARE**2, "exp_inf": SHARE.abs()}


@pytest.mark.parametrize("entry", RIGHT)
def test_kept_7_each_entry_is_scaled_as_what_it_is(entry: str):
    assert carried(entry, scaled(RIGHT[entry]))
    others = [scale for scale in RIGHT.values() if not torch.equal(scale, RIGHT[entry])]
    assert not any(carried(entry, scaled(scale)) for scale in others)


def test_kept_7_what_is_not_known_is_scaled_in_some_way():
    assert all(carried("own", scaled(scale)) for scale in RIGHT.values())
    assert not carried("own", scaled(SHARE * 2))


@pytest.mark.parametrize("entry", ["own", "sum"])
def test_kept_7_whole_numbers_are_compared_as_others_are(entry: str):
    """KEPT-7: how often each weight was changed, say"""
    counts = OLD.long() * 1000
    doubled = (Mapped(4, AxisMap.copies(4, [0, 1, 2, 3, 0])), Mapped(2))
    new = counts[[0, 1, 2, 3, 0]]
    new[[0, 4]] //= 2 if entry == "own" else 4
    assert carried(entry, new, doubled, counts)
    new[3, 1] += 1
    assert not carried(entry, new, doubled, counts)


@pytest.mark.parametrize("entry", ["exp_avg", "own"])
def test_kept_7_other_rows_are_found(entry: str):
    right = scaled(SHARE)
    assert not carried(entry, right[[1, 0, 2, 3, 4, 5]])
    assert not carried(entry, torch.zeros_like(right))
    noisy = right.clone()
    noisy[3, 1] += 1e-4
    assert not carried(entry, noisy)
    fresh = right.clone()
    fresh[5, 1] = 1.0
    assert not carried(entry, fresh)
    assert not carried(entry, right[:5])


def test_kept_7_on_a_split_axis_every_part_has_all_of_it():
    old = OLD.T.contiguous()
    new = old[:, SOURCE] * torch.tensor([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    assert carried("grad", new, SPLIT, old)
    assert not carried("grad", new * SHARE, SPLIT, old)


def test_kept_7_fresh_positions_may_hold_what_a_fresh_optimizer_has():
    new = scaled(SHARE**2)
    new[5] = 0.1
    assert carried("sum", new)


def test_kept_7_sums_of_squares_may_have_started_elsewhere():
    """KEPT-7: like Adagrad's, all of them at one number"""
    start = 0.1
    new = start + (OLD[SOURCE] - start) * SHARE[:, None] ** 2
    assert carried("sum", new)
    old = OLD.clone()
    old[3, 1] = new[3, 1] = 0.0
    assert carried("sum", new, old=old)
    assert not carried("exp_avg_sq", new)
    nudged = new.clone()
    nudged[4, 1] += 1e-5
    assert not carried("sum", nudged)
    nudged = new.clone()
    nudged[3, 1] += 1e-5
    assert not carried("sum", nudged)
    assert not carried("sum", scaled(SHARE))


def test_memory_does_not_grow_with_the_numbers():
    """Beside a mask: what is compared is made a part at a time."""
    size = 4000
    axis_map = AxisMap.copies(size, [*range(size), *range(100)])
    old = torch.randn(size, 2000)
    change = (Mapped(size, axis_map, "split"), Mapped(2000))
    new = old[list(axis_map.source)]
    entry = Carried("0.weight", "exp_avg", change, old, new)
    assert peak_of(lambda: check_carried([entry])) < 2 * old.nbytes
    new[-1, -1] += 1
    assert check_carried([entry]).grade is Grade.REFUTED


def test_kept_7_a_mean_of_parameters_is_split_as_they_are():
    old = OLD.T.contiguous()
    new = old[:, SOURCE] * SHARE
    assert carried("ax", new, SPLIT, old)


def test_kept_7_a_mean_of_parameters_starts_where_fresh_parameters_do():
    new = OLD[SOURCE].clone()
    new[5] = torch.tensor([0.3, -0.7])
    assert carried("ax", new)
    assert not carried("exp_avg", new)
    new[4, 0] += 1e-5
    assert not carried("ax", new)


def merged(entry: str, new: torch.Tensor, change=COPY, old: torch.Tensor = OLD) -> bool:
    check = check_carried([Carried("0.weight", entry, change, old, new, inverse=True)])
    return check.grade is Grade.TESTED


@pytest.mark.parametrize("entry", ["grad", "exp_avg"])
def test_kept_7_of_copies_that_are_merged_gradients_are_summed(entry: str):
    wide = torch.randn(6, 2)
    narrow = wide[:4].clone()
    narrow[2] += wide[4]  # the sixth is fresh, and goes
    assert merged(entry, narrow, old=wide)
    assert not merged(entry, wide[:4], old=wide)
    assert not merged(entry, narrow[[1, 0, 2, 3]], old=wide)
    assert not merged(entry, narrow[:3], old=wide)


def test_kept_7_of_parts_that_are_merged_a_gradient_is_that_of_one_of_them():
    wide = torch.randn(2, 6)
    assert merged("grad", wide[:, :4], SPLIT, wide)
    assert merged("grad", wide[:, [0, 1, 4, 3]], SPLIT, wide)
    mixed = wide[:, :4].clone()
    mixed[1, 2] = wide[1, 4]
    assert merged("grad", mixed, SPLIT, wide)
    assert not merged("grad", wide[:, [0, 1, 3, 2]], SPLIT, wide)
    assert not merged("grad", wide[:, [0, 1, 2, 3]] * 1.001, SPLIT, wide)


def test_kept_7_of_what_else_is_merged_the_shape_is_known():
    assert merged("exp_avg_sq", torch.rand(4, 2), old=torch.rand(6, 2))
    assert not merged("exp_avg_sq", torch.rand(6, 2), old=torch.rand(6, 2))


def test_kept_7_a_mean_of_parameters_of_units_that_start_anew():
    """KEPT-7: what was there is gone, on an axis that is copied and on one that is split"""
    anew = AxisMap.copies(4, [0, 1, -1, 3])
    for polarity, change in (
        ("copy", (Mapped(4, anew), Mapped(2))),
        ("split", (Mapped(4, anew, "split"), Mapped(2))),
    ):
        new = OLD.clone()
        new[2] = torch.tensor([0.3, -0.7])
        assert carried("ax", new, change), polarity
        new[3, 0] += 1e-5
        assert not carried("ax", new, change), polarity
    both = (Mapped(4, anew), Mapped(4, anew, "split"))
    old = torch.arange(16.0).reshape(4, 4)
    new = old.clone()
    new[2] = torch.tensor([0.3, -0.7, 0.0, 0.1])
    new[:, 2] = 0
    assert carried("ax", new, both, old)


def test_kept_7_gradients_and_what_has_a_number_for_each_weight_belong_to_the_units():
    """KEPT-7"""
    net = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 2))
    optimizers = [torch.optim.Adam(net.parameters()), torch.optim.SGD(net.parameters(), 0.1, 0.9)]
    net(torch.ones(3, 2)).sum().backward()
    for optimizer in optimizers:
        optimizer.step()
    net[1].weight.grad = None
    found = belongings(net, optimizers, {"1.weight": SPLIT, "0.bias": COPY[:1], "buffer": COPY})
    moments = ["exp_avg", "exp_avg_sq", "momentum_buffer (1)"]
    assert [*found] == [
        *(("1.weight", entry) for entry in moments),
        *(("0.bias", entry) for entry in ("grad", *moments)),
    ]
    state = optimizers[0].state[net[0].bias]
    assert torch.equal(found["0.bias", "exp_avg"], state["exp_avg"])
