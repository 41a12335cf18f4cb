"""IR-9: a change of masks is an application of its own."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import morphir
from morphir.ir import Renumbering, Rewriter, check_structure
from tests.passes.masked import masked
from tests.passes.widenings import mlp

X = torch.randn(5, 4)


def rewriter(model: nn.Module) -> Rewriter:
    return Rewriter(morphir.trace(model, example_inputs=(X,)))


def test_the_program_has_the_masks_that_the_module_will_have():
    found = rewriter(mlp())
    found.renumber(Renumbering("", "MASK-7", {"0.weight": torch.eye(6, 4)}, {}))
    check_structure(found.program)
    assert found.program.masks == {"0.weight_mask": "0.weight"}
    assert found.changed
    assert [edit.law for edit in found.renumberings] == ["MASK-7"]
    grown = morphir.apply(mlp(), morphir.SparsifyPass(0.5, at="0"), example_inputs=(X,))
    assert found.program == morphir.trace(grown, example_inputs=(X,))


def test_masks_that_are_there_stay_where_they_are():
    found = rewriter(masked(mlp()))
    before = found.program
    found.renumber(Renumbering("", "MASK-8", {"0.weight": torch.eye(6, 4)}, {}))
    assert found.program == before
    assert found.changed


def test_ir_9_nothing_else_is_done_with_it():
    """IR-9"""
    found = rewriter(mlp())
    edit = Renumbering("", "MASK-7", {"0.weight": torch.eye(6, 4)}, {})
    found.renumber(edit)
    with pytest.raises(ValueError, match="of its own"):
        found.renumber(replace(edit))
    with pytest.raises(ValueError, match="of their own"):
        morphir.DeeperPass(at="1").rewrite(found.program, found)
