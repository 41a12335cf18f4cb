"""MASK-3: what a certificate says of masks."""

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
