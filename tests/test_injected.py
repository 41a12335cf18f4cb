"""INJECT-3: how a branch is made of a module."""

import copy
import pickle

import pytest
import torch
from torch import nn

import morphir
from morphir.backend.hosting import remove_branches
from morphir.errors import RefusalError
from morphir.injected import InjectedBranch, build_branch
from morphir.lineage import lineages_in

X = torch.randn(3, 4)


def build(module: nn.Module, seed: int = 0) -> InjectedBranch:
    return build_branch(module, seed, remove_branches)


def test_it_returns_what_it_is_given_while_both_copies_are_equal():
    module = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 2))
    branch, y = build(module), torch.randn(3, 2)
    assert torch.equal(branch(y, X), y)
    with torch.no_grad():
        branch.fresh[2].bias.add_(1)
    assert torch.allclose(branch(y, X), y + 1, atol=1e-6)
    assert torch.equal(pickle.loads(pickle.dumps(branch))(y, X), branch(y, X))


def test_a_result_in_a_tuple_is_looked_for():
    module = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.randn(2, 3, 4)
    assert torch.allclose(build(module)(x, x, x, x, need_weights=False), x, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_inject_3_numbers_are_drawn_anew_in_the_dtype_of_the_module(dtype: torch.dtype):
    module = nn.Linear(4, 6).to(dtype)
    state = torch.get_rng_state()
    branch = build(module, 5)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    expected = nn.Linear(4, 6)
    assert torch.equal(branch.fresh.weight, expected.weight.to(dtype))
    assert not torch.equal(branch.fresh.weight, module.weight)
    pairs = zip(branch.fresh.parameters(), branch.frozen.parameters(), strict=True)
    assert all(torch.equal(one, other) and one is not other for one, other in pairs)
    assert not any(p.requires_grad for p in branch.frozen.parameters())


def test_inject_3_what_holds_parts_is_drawn_after_them():
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)
            self.reset_parameters()

        def reset_parameters(self) -> None:
            nn.init.orthogonal_(self.fc.weight)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    weight = build(Head()).fresh.fc.weight.detach()
    assert torch.allclose(weight @ weight.T, torch.eye(2), atol=1e-5)


def test_what_belongs_to_the_module_alone_is_not_copied():
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    module.optimizer = torch.optim.Adam(module.parameters())
    module[0].register_forward_hook(lambda *args: None)
    module[1].register_forward_pre_hook(lambda *args: None)
    grown = morphir.apply(module, morphir.DeeperPass(at="1"), example_inputs=(X,))
    fresh = build(grown).fresh
    assert fresh.optimizer is None
    assert not any(each._forward_hooks or each._forward_pre_hooks for each in fresh.modules())
    assert not lineages_in(fresh)
    assert "1_deeper1" in fresh._modules
    assert grown[0]._forward_hooks


def test_masks_are_copied_and_kept():
    module = nn.Linear(4, 6)
    module.register_buffer("weight_mask", (torch.rand(6, 4) < 0.5).float())
    branch = build(module)
    assert not branch.fresh.weight[module.weight_mask == 0].any()
    assert branch.fresh.weight[module.weight_mask == 1].all()


def test_ties_within_it_are_kept():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    branch = build(module)
    assert branch.fresh[1].weight is branch.fresh[0].weight
    assert branch.frozen[1].weight is branch.frozen[0].weight
    assert branch.fresh[0].weight is not branch.frozen[0].weight


def test_a_module_without_numbers_gets_a_branch_without_numbers():
    """As when a lineage is replayed on the meta device."""
    branch = build(nn.Sequential(nn.Linear(4, 6), nn.PReLU()).to("meta"))
    assert {p.device.type for p in branch.parameters()} == {"meta"}
    assert branch.fresh[0].weight.shape == (6, 4)


def test_what_nobody_draws_is_refused():
    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3))

    with pytest.raises(RefusalError, match=r"'1\.factor' can't be drawn anew") as caught:
        build(nn.Sequential(nn.Linear(3, 3), Scale()))
    assert caught.value.suggestions == ("a method reset_parameters of Scale that draws it",)


def test_the_module_is_only_looked_at():
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU()).eval()
    before = copy.deepcopy(module.state_dict())
    build(module)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not module.training
