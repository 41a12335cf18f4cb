"""MASK-1, MASK-2: what is a mask, and how its axes change."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError
from morphir.frontend import record
from morphir.ir import Added, AxisMap, Mapped, Multiplied, both_modes, check_structure
from morphir.ir.masks import complaint, copied, mask_name

X = torch.randn(5, 4)


class Sparse(nn.Module):
    """A weight with a buffer that looks like its mask."""

    def __init__(self, *, reads: bool = False, **changes: torch.dtype) -> None:
        super().__init__()
        self.reads = reads
        self.weight = nn.Parameter(torch.randn(6, 4))
        self.head = nn.Linear(6, 2)
        self.register_buffer("weight_mask", torch.ones(6, 4, **changes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = self.weight * self.weight_mask if self.reads else self.weight
        return self.head(torch.relu(x @ weight.t()))


def test_mask_1_a_buffer_of_the_name_shape_and_dtype_that_nobody_reads_is_a_mask():
    """MASK-1"""
    program = morphir.trace(Sparse(), example_inputs=(X,))
    assert program.masks == {"weight_mask": "weight"}
    assert program.state["weight"].mask == mask_name("weight") == "weight_mask"
    assert program.state["head.weight"].mask == ""
    assert "parameter @weight: f32[6, 4] masked by @weight_mask" in str(program)


def test_mask_1_a_mask_that_a_forward_reads_is_an_ordinary_buffer():
    """MASK-1"""
    program = morphir.trace(Sparse(reads=True), example_inputs=(X,))
    assert not program.masks
    assert "masked by" not in str(program)


def test_mask_1_another_dtype_or_shape_is_no_mask():
    """MASK-1"""
    assert not morphir.trace(Sparse(dtype=torch.bool), example_inputs=(X,)).masks
    model = Sparse()
    model.weight_mask = torch.ones(4, 6)
    assert not morphir.trace(model, example_inputs=(X,)).masks


def test_mask_1_a_mask_of_one_mode_is_none():
    """MASK-1"""

    class Both(Sparse):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.reads = self.training
            return super().forward(x)

    in_eval, in_train = (
        record(Both(), example_inputs=(X,), mode=mode).program for mode in ("eval", "train")
    )
    assert in_eval.masks
    assert not in_train.masks
    both = both_modes(in_eval, in_train)
    check_structure(both)
    assert not both.masks
    assert not both_modes(in_train, replace(in_eval, mode="train")).masks
    assert both_modes(in_eval, replace(in_eval, mode="train")).masks


def test_mask_1_what_is_wrong_with_a_mask_is_said():
    """MASK-1"""
    weight, mask = torch.tensor([1.0, 0.0, -0.0, 2.0]), torch.tensor([1.0, 1.0, 0.0, 1.0])
    assert complaint(weight, mask) == ""
    assert complaint(weight, 1 - mask) == "2 of its numbers are not 0 behind its mask"
    assert complaint(weight, mask / 2) == "its mask has numbers other than 0 and 1"
    assert complaint(weight, mask * torch.nan) == "its mask has numbers other than 0 and 1"


def test_mask_2_every_atom_of_an_axis_is_copied():
    """MASK-2"""
    wider = AxisMap.copies(2, (0, 1, 1))
    split, kept = Mapped(2, wider, "split"), Mapped(3)
    change = (Added((split, kept)), Multiplied((kept, split)), kept, split)
    every = [*copied(change)[0].terms, *copied(change)[1].factors, *copied(change)[2:]]
    assert [atom.polarity for atom in every] == ["copy"] * 6
    assert [atom.map for atom in every] == [wider, None, None, wider, None, wider]


@pytest.mark.parametrize("wrong", ["mask", "parameter"])
def test_mask_1_a_refusal_says_what_mends_it(wrong: str):
    model = nn.Sequential(nn.Linear(4, 3))
    model[0].register_buffer("weight_mask", torch.eye(3, 4))
    model[0].weight_mask.mul_(0.5 if wrong == "mask" else 1.0)
    sparser = morphir.SparsifyPass(density=0.2)
    with pytest.raises(RefusalError) as refusal:
        morphir.apply(model, sparser, example_inputs=(torch.randn(2, 4),))
    for fix in refusal.value.suggestions:
        exec(fix, {"model": model, "morphir": morphir})
    morphir.Masks(model).mask_parameters()
    morphir.apply(model, sparser, example_inputs=(torch.randn(2, 4),))
