"""Free positions have the scale of what is there; the rest is not touched."""

import pytest
import torch

from morphir.backend.splitting import split
from morphir.errors import RefusalError
from morphir.initial import fill_free
from morphir.ir import FRESH, AxisMap, Mapped

GROWN = AxisMap.copies(60, [*range(60), *[FRESH] * 40])
SPEC = {"init": "fresh", "seed": 3}


def filled(old: torch.Tensor, change, spec=SPEC, given=None, name="w") -> torch.Tensor:
    new, _ = split(old, change)
    fill_free(new, old, change, name, spec, given)
    return new


def test_back_10_matrices_are_drawn_at_the_scale_of_the_old_numbers():
    """BACK-10"""
    old = torch.randn(60, 50) * 0.03 + 0.2
    new = filled(old, (Mapped(60, GROWN), Mapped(50)))
    assert torch.equal(new[:60], old)
    assert abs(new[60:].mean() - 0.2) < 0.01
    assert abs(new[60:].std() / 0.03 - 1) < 0.1
    assert new[60:].unique().numel() > 1990


def test_back_10_vectors_are_the_mean_of_the_old_numbers():
    """BACK-10: so a BatchNorm that was never trained stays one"""
    for old in (torch.ones(60), torch.zeros(60), torch.randn(60)):
        new = filled(old, (Mapped(60, GROWN),))
        assert torch.equal(new[:60], old)
        assert torch.equal(new[60:], old.double().mean().float().expand(40))


def test_back_10_where_a_split_axis_is_fresh_too_it_is_zero():
    """BACK-10: a square layer that is called twice"""
    new = filled(torch.randn(60, 60), (Mapped(60, GROWN), Mapped(60, GROWN, "split")))
    assert (new[:, 60:] == 0).all()
    assert (new[60:, :60] != 0).all()
    new = filled(torch.randn(60, 60), (Mapped(60, GROWN), Mapped(60, GROWN)))
    assert (new[60:] != 0).all()
    assert (new[:, 60:] != 0).all()


def test_back_10_draws_derive_from_seed_and_name():
    """BACK-10: and the user's random state is not used"""
    old, change = torch.randn(60, 5), (Mapped(60, GROWN), Mapped(5))
    state = torch.get_rng_state()
    one = filled(old, change)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(filled(old, change), one)
    assert not torch.equal(filled(old, change, name="v"), one)
    assert not torch.equal(filled(old, change, {"init": "fresh", "seed": 4}), one)
    for dtype in (torch.float64, torch.bfloat16):
        other = filled(old.to(dtype), change).float()
        torch.testing.assert_close(other[60:], one[60:], rtol=0.02, atol=0.01)


def test_back_10_given_numbers_are_as_given():
    """BACK-10"""
    old, change = torch.randn(60, 5), (Mapped(60, GROWN), Mapped(5))
    numbers = torch.randn(40, 5)
    new = filled(old, change, {"init": "gradmax"}, numbers)
    assert torch.equal(new[60:], numbers)
    with pytest.raises(ValueError, match=r"shape \(5, 40\) were given, expected \(40, 5\)"):
        filled(old, change, given=numbers.T)
    with pytest.raises(ValueError, match="free positions on 0 axes"):
        filled(old, (Mapped(60), Mapped(5)), given=numbers)


def test_a_change_without_free_positions_draws_nothing():
    old = torch.randn(60, 5)
    change = (Mapped(60, GROWN, "split"), Mapped(5))
    assert (filled(old, change, {"init": "copy"})[60:] == 0).all()
    with pytest.raises(ValueError, match="init='copy' has none"):
        filled(old, (Mapped(60, GROWN), Mapped(5)), {"init": "copy"})


@pytest.mark.parametrize(
    ("old", "message"),
    [
        (torch.arange(60), "'w' holds torch.int64"),
        (torch.full((60,), torch.inf), "'w' has no finite numbers"),
        (torch.full((60,), torch.nan), "'w' has no finite numbers"),
    ],
)
def test_what_has_no_scale_is_refused(old, message):
    with pytest.raises(RefusalError, match=message):
        filled(old, (Mapped(60, GROWN),))


def test_back_10_all_of_them_are_zero_if_that_is_asked_for():
    """BACK-10: a new output that is 0 whatever the input"""
    for old, change in (
        (torch.randn(60, 5), (Mapped(60, GROWN), Mapped(5))),
        (torch.ones(60), (Mapped(60, GROWN),)),
        (torch.arange(60), (Mapped(60, GROWN),)),
    ):
        new = filled(old, change, {"init": "zero", "seed": 0})
        assert torch.equal(new[:60], old)
        assert not new[60:].any()


ANEW = AxisMap.copies(60, [*range(20), *[FRESH] * 40])


def test_back_10_units_that_start_anew_have_no_say():
    """BACK-10: 40 of 60 units go, and theirs are other numbers by far"""
    old = torch.cat([torch.randn(20, 500) * 0.03 + 0.2, torch.full((40, 500), 50.0)])
    new = filled(old, (Mapped(60, ANEW), Mapped(500)))
    assert torch.equal(new[:20], old[:20])
    assert abs(new[20:].mean() - 0.2) < 0.01
    assert abs(new[20:].std() / 0.03 - 1) < 0.1
    new = filled(old[:, 0], (Mapped(60, ANEW),))
    assert torch.equal(new[20:], old[:20, 0].double().mean().float().expand(40))
    square = torch.full((60, 60), 50.0)
    square[:20, :20] = torch.randn(20, 20) * 0.03
    new = filled(square, (Mapped(60, ANEW), Mapped(60, ANEW, "split")))
    assert new[20:, :20].abs().max() < 1


@pytest.mark.parametrize("columns", [500, None])
def test_back_10_behind_a_mask_only_what_is_in_use_has_a_say(columns: int | None):
    """BACK-10: most are 0 behind the mask, and so no part of the scale"""
    shape = (60, columns) if columns else (60,)
    mask = (torch.rand(shape) < 0.2).float()
    mask[:4] = 1
    old = (torch.randn(shape) * 0.03 + 0.2) * mask
    change = (Mapped(60, ANEW), Mapped(500)) if columns else (Mapped(60, ANEW),)
    new = old.clone()
    fill_free(new, old, change, "w", SPEC, mask=mask)
    used = old[:20][mask[:20] == 1]
    if columns is None:  # a vector has one number, masked or not
        assert torch.equal(new[20:], used.double().mean().float().expand(40))
        return
    assert abs(new[20:].mean() - used.mean()) < 0.005
    assert abs(new[20:].std() / used.std() - 1) < 0.1
    nothing = torch.zeros(shape)
    fill_free(new, nothing, change, "w", SPEC, mask=nothing)
    assert not new[20:].any(), "where nothing is in use there is no scale"


def test_back_10_entries_that_are_asked_for_are_zero():
    """BACK-10: those of a bias"""
    old = torch.randn(60)
    spec = {**SPEC, "zero": ["w"]}
    assert not filled(old, (Mapped(60, GROWN),), spec)[60:].any()
    assert filled(old, (Mapped(60, GROWN),), spec, name="v")[60:].all()
