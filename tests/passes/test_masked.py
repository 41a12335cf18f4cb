"""MASK-1 to MASK-3: passes that change axes carry masks along."""

import copy
from itertools import product

import pytest
import torch

import morphir
from morphir import CompactPass, Grade, PruneDormantPass, RefusalError, WiderPass
from morphir.ir import TensorChange
from tests.passes.compactions import assert_same_state
from tests.passes.masked import assert_masked, masked, masks_of
from tests.passes.test_wider import EVERY, SITES, X
from tests.passes.widenings import assert_same, mlp


def expected_mask(old: torch.Tensor, change: TensorChange) -> torch.Tensor:
    """The mask after a change, number by number: that of the unit, and 1 where there is none."""
    sources = [axis.relation.source.tolist() for axis in change]
    new = torch.ones([len(source) for source in sources])
    for position in product(*(range(len(source)) for source in sources)):
        units = [source[each] for source, each in zip(sources, position, strict=True)]
        if min(units) >= 0:
            new[position] = old[tuple(units)]
    return new


@pytest.mark.parametrize(("name", "init"), [*product(EVERY, ["copy"]), *product(SITES, ["fresh"])])
def test_mask_2_a_copy_has_the_mask_of_its_unit_and_a_fresh_unit_has_ones(name: str, init: str):
    """MASK-1, MASK-2"""
    make, x, at, options = EVERY[name]
    model = masked(make())
    result = morphir.transform(model, WiderPass(at=at, init=init, **options), example_inputs=(x,))
    assert result.report.grade is Grade.PROVED, result.report
    assert_masked(result.module)
    assert_same(model, result.module, x)
    before, after = masks_of(model), masks_of(result.module)
    assert before.keys() == after.keys()
    changes = result.certificate.tensors
    for parameter, mask in after.items():
        old = before[parameter]
        wanted = expected_mask(old, changes[parameter]) if parameter in changes else old
        assert torch.equal(mask, wanted), parameter


@pytest.mark.parametrize("name", SITES)
def test_mask_2_merging_gives_the_old_masks_back(name: str):
    """MASK-2"""
    make, x, at, options = SITES[name]
    model = masked(make(), density=0.8)
    grown = morphir.apply(model, WiderPass(at=at, **options), example_inputs=(x,))
    before = morphir.apply(model, CompactPass(merge_copies=True), example_inputs=(x,))
    again = morphir.apply(grown, CompactPass(merge_copies=True), example_inputs=(x,))
    assert_masked(again)
    assert_same_state(before, again)


def test_mask_2_what_one_of_several_merged_copies_uses_is_used():
    """MASK-2, MASK-3"""
    model = masked(mlp(), density=1.0)
    grown = morphir.apply(model, WiderPass(at="0", width=12), example_inputs=(X,))
    with torch.no_grad():  # the copies 0 and 6: a different number of each is masked
        grown[2].weight_mask[0, 0], grown[2].weight_mask[1, 6] = 0, 0
        grown[2].weight[0, 0], grown[2].weight[1, 6] = 0, 0
    result = morphir.transform(grown, CompactPass(merge_copies=True), example_inputs=(X,))
    assert result.report.grade is Grade.PROVED, result.report
    assert result.module[2].weight_mask.all()
    assert_masked(result.module)


def test_mask_2_units_that_nothing_reads_go_with_their_masks():
    """COMPACT-1, MASK-2"""
    model = masked(mlp(), density=1.0)
    with torch.no_grad():
        for unit in (1, 3):
            model[2].weight_mask[:, unit], model[2].weight[:, unit] = 0, 0
    for pass_ in (CompactPass(), PruneDormantPass()):
        result = morphir.transform(model, pass_, example_inputs=(X,))
        assert result.report.grade is Grade.PROVED
        kept = [unit for unit in range(6) if unit not in (1, 3)]
        assert torch.equal(result.module[2].weight_mask, model[2].weight_mask[:, kept])
        assert result.module[0].weight_mask.shape == (4, 4)


def test_back_11_masks_keep_their_identity_in_place_and_come_back():
    """BACK-11, BACK-13"""
    model = masked(mlp(), density=0.9)
    state, mask = copy.deepcopy(model.state_dict()), model[0].weight_mask
    morphir.apply(model, WiderPass(at="0", width=9), example_inputs=(X,), inplace=True)
    assert model[0].weight_mask is mask
    assert mask.shape == (9, 4)
    morphir.apply(model, CompactPass(merge_copies=True), example_inputs=(X,), inplace=True)
    assert model[0].weight_mask is mask
    assert {k: v.shape for k, v in model.state_dict().items()} == {
        k: v.shape for k, v in state.items()
    }


@pytest.mark.parametrize(
    "pass_",
    [
        WiderPass(at="0", width=9),
        morphir.MaskGrowPass(count=2, score="random"),
        morphir.SparsifyPass(0.3),
        morphir.RecycleDormantPass((X,), threshold=0.9),
        morphir.PruneDormantPass(data=(X,), mode="mask", threshold=0.9),
        morphir.ResetPass(),
    ],
    ids=lambda each: each.name,
)
def test_mask_1_a_parameter_that_is_not_zero_behind_its_mask_is_refused(
    pass_: morphir.MorphismPass,
):
    """MASK-1"""
    model = masked(mlp())
    with torch.no_grad():
        model[2].weight += 1
    behind = int((model[2].weight_mask == 0).sum())
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(RefusalError, match=f"{behind} of its numbers are not 0 behind its mask"):
        morphir.apply(model, pass_, example_inputs=(X,), inplace=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    morphir.Masks(model).mask_parameters()
    assert_masked(morphir.apply(model, pass_, example_inputs=(X,)))


def test_masks_are_exported_as_zeros_and_saved_with_the_model(tmp_path):
    """MASK-1, STATE-5"""
    model = masked(mlp())
    result = morphir.transform(model, WiderPass(at="0", width=9), example_inputs=(X,))
    morphir.export_onnx(result.module, tmp_path / "model.onnx", example_inputs=(X,))
    morphir.save(result, tmp_path / "model.morphir")
    loaded = morphir.load(tmp_path / "model.morphir", lambda: masked(mlp()))
    assert_same_state(result.module, loaded)
    assert_masked(loaded)
