"""MASK-4 and MASK-5: what training does to masked parameters."""

import pytest
import torch
from torch import nn

import morphir
from tests.passes.masked import assert_masked, masked
from tests.passes.widenings import mlp

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1, momentum=0.9),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_mask_4_and_5_training_keeps_parameters_zero_behind_their_masks(name: str):
    """MASK-4, MASK-5"""
    model = masked(mlp())
    masks, optimizer = morphir.Masks(model), OPTIMIZERS[name](model.parameters())
    before = {k: p.detach().clone() for k, p in model.named_parameters()}
    for _ in range(5):
        optimizer.zero_grad()
        model(torch.randn(6, 4)).square().sum().backward()
        masks.mask_gradients()
        for key, mask in masks.masks.items():
            assert not masks.parameters[key].grad[mask == 0].any()
        optimizer.step()
        masks.mask_parameters()
        assert_masked(model)
    for key, parameter in model.named_parameters():
        used = masks.masks.get(key, torch.ones_like(parameter)) == 1
        assert not torch.equal(parameter[used], before[key][used]), "what is in use is trained"


def test_mask_5_no_optimizer_moves_what_was_never_in_use():
    """MASK-5"""
    for make in OPTIMIZERS.values():
        model = masked(mlp())
        masks, optimizer = morphir.Masks(model), make(model.parameters())
        for _ in range(4):
            optimizer.zero_grad()
            model(torch.randn(6, 4)).square().sum().backward()
            masks.mask_gradients()
            optimizer.step()
        assert_masked(model)


def test_mask_4_what_is_not_masked_is_left_alone():
    """MASK-4"""
    model = masked(mlp())
    model.register_buffer("other_mask", torch.zeros(3))
    model.register_parameter("odd", nn.Parameter(torch.ones(2)))
    model.register_buffer("odd_mask", torch.zeros(3))  # of another shape
    model.register_parameter("true", nn.Parameter(torch.ones(2)))
    model.register_buffer("true_mask", torch.zeros(2, dtype=torch.bool))
    masks = morphir.Masks(model)
    assert [*masks.parameters] == [*masks.masks] == ["0.weight", "2.weight", "4.weight"]
    biases = [model[i].bias.detach().clone() for i in (0, 2, 4)]
    masks.mask_gradients()  # there are none yet
    masks.mask_parameters()
    assert all(torch.equal(model[i].bias, b) for i, b in zip((0, 2, 4), biases, strict=True))
    assert model.odd.tolist() == model.true.tolist() == [1, 1]


def test_mask_1_buffers_of_other_numbers_are_no_masks():
    """MASK-1: an additive mask of attention, and a gate"""
    model = nn.Module()
    model.scores, model.gate = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    model.register_buffer("scores_mask", torch.tensor([[0.0, -torch.inf], [0, 0]]))
    model.register_buffer("gate_mask", torch.tensor([0.5, 1]))
    masks = morphir.Masks(model)
    assert not masks.masks
    masks.mask_parameters()
    assert model.scores.eq(1).all()


def test_mask_4_a_target_is_zero_where_its_network_is():
    """MASK-4"""
    model, target = masked(mlp()), mlp()
    before = {name: p.detach().clone() for name, p in target.named_parameters()}
    morphir.Masks(model).mask_parameters(target)
    masks = morphir.Masks(model).masks
    for name, parameter in target.named_parameters():
        assert torch.equal(parameter, before[name] * masks.get(name, 1))


def test_mask_4_a_model_of_another_structure_is_refused():
    model, other = masked(mlp()), nn.Sequential(nn.Linear(4, 99))
    before = other[0].weight.detach().clone()
    with pytest.raises(morphir.RefusalError, match=r"'0.weight' has shape .* \(99, 4\)"):
        morphir.Masks(model).mask_parameters(other)
    assert torch.equal(other[0].weight, before)


def test_densities_are_the_shares_in_use():
    model = nn.Linear(4, 2)
    assert morphir.Masks(model).densities == {}
    morphir.Masks(model).mask_parameters()
    model.register_buffer("weight_mask", torch.tensor([[1.0, 0, 0, 1], [0, 1, 0, 0]]))
    assert morphir.Masks(model).densities == {"weight": 3 / 8}
