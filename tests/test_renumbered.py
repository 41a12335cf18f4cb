"""STATE-19, KEPT-11, KEPT-12: numbers are given, optimizers follow, and two checks say so."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from morphir.backend.surgery import Surgery
from morphir.ir import Grade, Renumbering
from morphir.renumbered import Renumbered
from morphir.state.transport import Transport
from morphir.testing.preserving import used_optimizer


def made() -> tuple[nn.Module, torch.optim.Optimizer]:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    return model, used_optimizer(model, 0)


def edit(model: nn.Module, **options) -> Renumbering:
    numbers = {"0.weight": model[0].weight.detach().clone()}
    numbers["0.weight"][1, 2] = 5
    masks = {"1.weight": torch.tensor([[1.0, 1.0], [0.0, 1.0]])}
    anew = {"0.weight": torch.zeros(2, 3, dtype=torch.bool)}
    anew["0.weight"][0, 0] = True
    return Renumbering("0", "PRUNE-6", masks, {}, numbers, anew, **options)


EXPECTED = {
    "0.weight": torch.tensor([[True, False, False], [False, False, True]]),
    "1.weight": torch.tensor([[False, False], [True, False]]),
}


@pytest.mark.parametrize("masked", [False, True])
def test_state_19_state_is_fresh_where_numbers_masks_or_units_are_new(masked: bool):
    """STATE-19, KEPT-11: also where a mask is the first one"""
    model, optimizer = made()
    if masked:
        model[1].register_buffer("weight_mask", torch.ones(2, 2))
    asked = edit(model)
    renumbered, transport = Renumbered(model, [optimizer], [asked]), Transport([optimizer], model)
    kept = {name: optimizer.state[p]["exp_avg"].clone() for name, p in model.named_parameters()}
    Surgery(model).apply([asked])
    _, stale = renumbered.check()
    assert (stale.grade, stale.where) == (Grade.REFUTED, "0.weight")
    renumbered.begin_anew(transport)
    numbers, check = renumbered.check()
    assert (numbers.name, numbers.grade) == ("numbers", Grade.TESTED)
    assert (check.name, check.grade) == ("carried", Grade.TESTED)
    assert renumbered.restarted == ()
    for name, parameter in model.named_parameters():
        now, places = optimizer.state[parameter]["exp_avg"], EXPECTED.get(name)
        if places is None:
            assert torch.equal(now, kept[name])
        else:
            assert not now[places].any()
            assert torch.equal(now[~places], kept[name][~places])
    optimizer.state[model[0].weight]["exp_avg_sq"][0, 0] = 3.0
    assert renumbered.check()[1].grade is Grade.REFUTED


def test_kept_11_what_restarts_is_dropped_whole():
    """KEPT-11, STATE-22"""
    model, optimizer = made()
    asked = edit(model, restarts=True)
    renumbered = Renumbered(model, [optimizer], [asked])
    assert renumbered.restarted == ("0.weight", "1.weight")
    Surgery(model).apply([asked])
    assert renumbered.check()[1].grade is Grade.REFUTED
    renumbered.begin_anew(Transport([optimizer], model))
    assert renumbered.check()[1].grade is Grade.TESTED
    assert optimizer.state[model[0].weight] == {}
    assert optimizer.state[model[0].bias]["step"] == 1


def test_kept_12_what_was_not_done_is_found_and_so_is_what_was_done_otherwise():
    """KEPT-12: buffers too"""
    model, _ = made()
    model.register_buffer("mean", torch.ones(3))
    asked = edit(model)
    asked = replace(asked, numbers={**asked.numbers, "mean": torch.zeros(3)})
    renumbered = Renumbered(model, [], [asked])
    (check,) = renumbered.check()
    assert (check.grade, check.where) == (Grade.REFUTED, "0.weight")
    Surgery(model).apply([asked])
    (check,) = renumbered.check()
    assert (check.grade, check.figures) == (Grade.TESTED, {"tensors": 3})
    model.mean[1] = 2
    assert renumbered.check()[0].where == "mean"


def test_without_state_and_without_edits_there_is_nothing_to_check():
    model, _ = made()
    optimizer = torch.optim.Adam(model.parameters())
    found = Renumbered(model, [optimizer], [edit(model)]).check()
    assert [check.name for check in found] == ["numbers"]
    assert Renumbered(model, [optimizer], []).check() == []


def test_a_buffer_by_the_name_of_a_mask_that_is_none_is_left_alone():
    """MASK-1: it has another shape"""
    model, optimizer = made()
    model[0].register_buffer("weight_mask", torch.ones(7))
    numbers = {"0.weight": torch.zeros(2, 3)}
    asked = Renumbering("0", "RESET-1", {}, {}, numbers)
    renumbered = Renumbered(model, [optimizer], [asked])
    Surgery(model).apply([asked])
    renumbered.begin_anew(Transport([optimizer], model))
    assert [check.grade for check in renumbered.check()] == [Grade.TESTED, Grade.TESTED]
