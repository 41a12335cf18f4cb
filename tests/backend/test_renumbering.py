"""BACK-19: masks are put beside parameters, and taken away again."""

import copy

import pytest
import torch
from torch import nn

from morphir.backend.renumbering import put_numbers
from morphir.backend.surgery import Surgery
from morphir.errors import RefusalError
from morphir.ir import Renumbering
from tests.passes.masked import masked
from tests.passes.widenings import mlp


def edit(model: nn.Module, *names: str, **numbers: torch.Tensor) -> Renumbering:
    masks = {name: torch.eye(*model.get_parameter(name).shape) for name in names}
    return Renumbering("the model", "MASK-7", masks, {}, numbers)


@pytest.mark.parametrize("has_masks", [False, True])
def test_back_19_undo_restores_every_number_and_key(has_masks: bool):
    """BACK-4, BACK-19"""
    model = masked(mlp()) if has_masks else mlp()
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = copy.deepcopy(model.state_dict())
    surgery = Surgery(model)
    other = torch.randn(5, 6)
    surgery.apply([edit(model, "0.weight", "2.weight", **{"2.weight": other})])
    assert torch.equal(model[0].weight_mask, torch.eye(6, 4))
    assert not model[0].weight[torch.eye(6, 4) == 0].any()
    assert torch.equal(model[2].weight, other), "as given"
    assert "0.weight_mask" in model.state_dict()
    now = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert all(now[name] is tensor for name, tensor in tensors.items())
    surgery.undo()
    assert [*model.state_dict()] == [*before]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_back_19_a_graph_that_is_older_than_the_change_can_not_be_used():
    """BACK-19: its backward would take the new numbers for the old ones"""
    model = mlp()
    loss = model(torch.randn(3, 4)).sum()
    Surgery(model).apply([edit(model, "2.weight")])
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_back_19_a_mask_is_of_the_parameters_dtype_and_not_the_one_that_was_given():
    """BACK-19"""
    model = mlp().double()
    given = edit(model, "0.weight")
    for _ in put_numbers(model, given):
        pass
    assert model[0].weight_mask.dtype == torch.float64
    given.masks["0.weight"].zero_()
    assert model[0].weight_mask.any()


def test_what_is_not_there_is_refused_and_nothing_stays():
    """BACK-4"""
    model = mlp()
    broken = Renumbering("", "MASK-7", {"0.weight": torch.eye(6, 4), "9.weight": torch.eye(2)}, {})
    with pytest.raises(RefusalError, match=r"there is no parameter '9\.weight'"):
        Surgery(model).apply([broken])
    assert "0.weight_mask" not in model.state_dict()
    assert model[0].weight.all()
