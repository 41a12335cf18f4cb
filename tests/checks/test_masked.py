"""MASK-3: what a certificate says of masks."""

from dataclasses import replace

import pytest
import torch

import morphir
from morphir import Grade, WiderPass
from morphir.checks import check_certificate
from morphir.ops import DEFAULT_TABLE
from tests.passes.masked import masked
from tests.passes.test_wider import X
from tests.passes.widenings import mlp


@pytest.mark.parametrize("broken", ["behind", "not one", "opened"])
def test_mask_3_the_certificate_is_rejected_where_a_mask_is_wrong(broken: str):
    """MASK-3"""
    model = masked(mlp(), density=0.5)
    result = morphir.transform(model, WiderPass(at="0", width=9), example_inputs=(X,))
    grown = result.module
    mask = grown[2].weight_mask
    with torch.no_grad():
        if broken == "behind":
            used = mask.nonzero()[0]
            mask[*used] = 0
        elif broken == "not one":
            mask[*mask.nonzero()[0]] = 0.5
        else:
            mask[*(mask == 0).nonzero()[0]] = 1
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, grown))
    found = check_certificate(before, after, result.certificate, DEFAULT_TABLE)
    assert found.grade is Grade.UNKNOWN
    assert found.summary.startswith("CERT-10" if broken == "opened" else "MASK-3")
    assert found.where in ("@2.weight", "@2.weight_mask")


def test_mask_3_a_mask_that_changes_its_size_may_use_less():
    """MASK-3: what is 0 need not be in use in all of its copies"""
    model = masked(mlp(), density=0.5)
    used = tuple(model[2].weight_mask.nonzero()[0].tolist())
    with torch.no_grad():
        model[2].weight[used] = 0
    result = morphir.transform(model, WiderPass(at="0", width=9), example_inputs=(X,))
    result.module[2].weight_mask[used] = 0
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, result.module))
    found = check_certificate(before, after, result.certificate, DEFAULT_TABLE)
    assert found.grade is Grade.PROVED, found


def remasked() -> tuple[torch.nn.Module, morphir.TransformResult]:
    model = masked(mlp(), density=0.5)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model, morphir.transform(model, morphir.MaskGrowPass(count=5), example_inputs=(X,))


def test_mask_3_masks_that_are_claimed_to_change_may():
    """MASK-3, CERT-5"""
    model, grown = remasked()
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, grown.module))
    proof = check_certificate(before, after, grown.certificate, DEFAULT_TABLE)
    assert proof.grade is Grade.PROVED, proof
    changed = grown.certificate.masked
    assert changed == grown.certificate.renumbered
    for name in changed:
        silent = replace(grown.certificate, masked=tuple(each for each in changed if each != name))
        found = check_certificate(before, after, silent, DEFAULT_TABLE)
        assert (found.grade, found.where) == (Grade.UNKNOWN, f"@{name}_mask")
    assert morphir.Certificate.from_json(grown.certificate.to_json()) == grown.certificate


@pytest.mark.parametrize("broken", ["weight", "behind", "bias"])
def test_mask_3_and_nothing_else_may(broken: str):
    """MASK-3, CERT-5"""
    model, grown = remasked()
    name = grown.certificate.renumbered[0]
    layer = grown.module.get_submodule(name.partition(".")[0])
    with torch.no_grad():
        if broken == "weight":
            layer.weight[*layer.weight.nonzero()[0]] += 1
        elif broken == "behind":
            layer.weight[*(layer.weight_mask == 0).nonzero()[0]] = 1
        else:
            layer.bias[0] += 1
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, grown.module))
    found = check_certificate(before, after, grown.certificate, DEFAULT_TABLE)
    assert found.grade is Grade.UNKNOWN
    assert found.where == (f"@{name}".replace("weight", "bias") if broken == "bias" else f"@{name}")
    assert found.summary.startswith("MASK-3" if broken == "behind" else "CERT-5")


def test_mask_3_new_masks_are_of_parameters_that_are_claimed_to_have_one():
    """MASK-3, CERT-6"""
    model = mlp()
    dense = morphir.transform(model, morphir.SparsifyPass(1.0), example_inputs=(X,))
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, dense.module))
    assert check_certificate(before, after, dense.certificate, DEFAULT_TABLE).grade is Grade.PROVED
    fewer = replace(dense.certificate, masked=("0.weight", "2.weight"))
    found = check_certificate(before, after, fewer, DEFAULT_TABLE)
    assert found.grade is Grade.UNKNOWN
    assert found.where in ("@4.weight", "@4.weight_mask")


def test_cert_5_a_parameter_has_the_mask_that_it_had():
    """CERT-5, but for what is claimed to have another one"""
    before = morphir.trace(masked(mlp(), density=0.5), example_inputs=(X,))
    bare = replace(before.state["2.weight"], mask="")
    after = before.with_state({**before.state, "2.weight": bare})
    unclaimed = morphir.Certificate(before.hash, after.hash)
    found = check_certificate(before, after, unclaimed, DEFAULT_TABLE)
    assert (found.grade, found.where) == (Grade.UNKNOWN, "@2.weight")


def test_cert_6_beside_new_masks_there_is_no_other_new_state():
    """CERT-6"""
    model = mlp()
    dense = morphir.transform(model, morphir.SparsifyPass(1.0), example_inputs=(X,))
    before, after = (morphir.trace(each, example_inputs=(X,)) for each in (model, dense.module))
    more = replace(after.state["0.weight_mask"], name="more")
    after = after.with_state({**after.state, "more": more})
    certificate = replace(dense.certificate, after=after.hash)
    found = check_certificate(before, after, certificate, DEFAULT_TABLE)
    assert (found.grade, found.where) == (Grade.UNKNOWN, "@more")


def test_kept_9_only_numbers_and_what_optimizers_keep_of_them_may_differ():
    """KEPT-9"""
    model = mlp()
    sparse = morphir.transform(model, morphir.SparsifyPass(0.5), example_inputs=(X,))

    def kept() -> tuple[Grade, str]:
        found = morphir.verify(
            model, sparse.module, example_inputs=(X,), certificate=sparse.certificate,
            checks=("kept",),
        ).check("kept")  # fmt: skip
        return found.grade, found.where

    assert kept() == (Grade.TESTED, "")
    sparse.module[2].register_buffer("other", torch.zeros(1))
    assert kept() == (Grade.REFUTED, "2.other")
    del sparse.module[2].other
    sparse.module[2].weight.requires_grad_(False)
    assert kept() == (Grade.REFUTED, "2.weight")


def test_cert_5_numbers_that_are_said_to_be_others_prove_nothing_and_are_no_accident():
    net = mlp()
    result = morphir.transform(net, morphir.SparsifyPass(density=0.5), example_inputs=(X,))
    before, after = (morphir.trace(m, example_inputs=(X,)) for m in (net, result.module))
    given = result.certificate
    told = check_certificate(before, after, given, DEFAULT_TABLE)
    assert (told.grade, told.where) == (Grade.UNKNOWN, "@0.weight")
    assert told.summary == "CERT-5: a tensor was given other numbers"
    untold = check_certificate(before, after, replace(given, renumbered=()), DEFAULT_TABLE)
    assert untold.summary == "CERT-5: a tensor should be untouched, and differs"
