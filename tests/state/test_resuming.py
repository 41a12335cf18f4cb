"""An optimizer goes on where it was saved."""

import json
import math

import pytest
import torch
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.state.resuming import pack_optimizer, restore_optimizer
from tests.specimens import Net
from tests.state.test_optimizer import HOLDING, OPTIMIZERS

ALL = {
    **{name: OPTIMIZERS[name] for name in HOLDING},
    "LBFGS": {"lr": 0.1, "max_iter": 2, "history_size": 3, "line_search_fn": "strong_wolfe"},
    "Muon": {"lr": 0.01},
    "SparseAdam": {"lr": 0.01},
}


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4, sparse=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embedding((x[:, 0] * 2).long().clamp(0, 5))


def trainable(name: str, model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if name != "Muon" or p.dim() == 2]


def step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(seed))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


@pytest.mark.parametrize("name", ALL)
def test_state_5_every_optimizer_takes_the_same_next_steps(name):
    """STATE-5"""
    kind, make = (Sparse if name == "SparseAdam" else Net), getattr(torch.optim, name)
    model, twin = kind(), kind()
    optimizer = make(trainable(name, model), **ALL[name])
    for seed in range(3):
        step(model, optimizer, seed)
    twin.load_state_dict(model.state_dict())
    tensors = {}
    saved = json.loads(json.dumps(pack_optimizer(optimizer, model, "o", tensors)))
    other = make(trainable(name, twin)[::-1])
    if name != "LBFGS":  # what the factory's optimizer remembers does not count
        step(twin, other, 7)
        twin.load_state_dict(model.state_dict())
    restore_optimizer(other, twin, saved, lambda key: tensors[key].clone())
    for seed in range(3, 6):
        for each, its in ((model, optimizer), (twin, other)):
            step(each, its, seed)
    assert all(map(torch.equal, model.parameters(), twin.parameters()))


def test_state_5_state_that_was_not_saved_is_not_there():
    """STATE-5"""
    net = Net()
    saved = pack_optimizer(torch.optim.Adam(net.parameters()), net, "o", {})
    other = torch.optim.Adam(net.parameters())
    step(net, other, 0)
    restore_optimizer(other, net, saved, {}.__getitem__)
    assert not other.state


def test_state_5_groups_keep_their_order_options_and_names():
    """STATE-5: the factory's optimizer has them in another order, with other options"""
    model, twin = Net(), Net()
    named = [*model.named_parameters()]
    optimizer = torch.optim.Adam(
        [
            {
                "params": [(f"policy.{n}", p) for n, p in named[3:]],
                "lr": 0.1,
                "mine": [1, (2, None)],
            },
            {"params": [(f"policy.{n}", p) for n, p in named[:3]], "betas": (0.5, 0.6)},
        ],
        lr=torch.tensor(0.2),
    )
    tensors = {}
    saved = json.loads(json.dumps(pack_optimizer(optimizer, model, "o", tensors)))
    others = [*twin.parameters()]
    other = torch.optim.Adam([{"params": others[:1]}, {"params": others[1:]}])
    restore_optimizer(other, twin, saved, lambda key: tensors[key].clone())
    names = {id(p): n for n, p in twin.named_parameters()}
    for group, stored in zip(other.param_groups, optimizer.param_groups, strict=True):
        assert [f"policy.{names[id(p)]}" for p in group["params"]] == stored["param_names"]
        assert group["param_names"] == stored["param_names"]
        options = {k: v for k, v in group.items() if k != "params"}
        assert options == {k: v for k, v in stored.items() if k != "params"}
    assert torch.is_tensor(other.param_groups[1]["lr"])
    assert other.param_groups[1]["lr"] is not optimizer.param_groups[1]["lr"]


def test_state_5_after_growth():
    """STATE-5: new parameters stand at the end of a group, not where the model has them"""
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    step(net, optimizer, 0)
    result = morphir.transform(net, morphir.DeeperPass(at="extractor.1"), optimizer=optimizer)
    step(result.module, result.optimizer, 1)
    twin = morphir.replay(result.lineage, Net())
    twin.load_state_dict(result.module.state_dict())
    tensors = {}
    saved = pack_optimizer(result.optimizer, result.module, "o", tensors)
    other = torch.optim.Adam(twin.parameters())
    restore_optimizer(other, twin, saved, lambda key: tensors[key].clone())
    for each, its in ((result.module, result.optimizer), (twin, other)):
        step(each, its, 2)
    assert all(map(torch.equal, result.module.parameters(), twin.parameters()))


def packed(model: nn.Module, optimizer: torch.optim.Optimizer):
    return pack_optimizer(optimizer, model, "o", {})


def test_parameters_and_state_of_something_else_are_refused():
    net, other = Net(), nn.Linear(2, 2)
    joint = torch.optim.SGD([*net.parameters(), *other.parameters()], lr=0.1)
    with pytest.raises(RefusalError, match="holds 2 parameters of something else than the Net"):
        packed(net, joint)
    stray = torch.optim.SGD(net.parameters(), lr=0.1)
    stray.state["mine"] = {"x": 1}
    with pytest.raises(RefusalError, match="state for 1 things that no group holds"):
        packed(net, stray)


def test_options_that_are_no_plain_data_are_refused():
    net = Net()
    optimizer = torch.optim.SGD([{"params": net.parameters(), "schedule": math.sin}], lr=0.1)
    with pytest.raises(RefusalError, match=r"o/group/0/schedule is a builtin_function_or_method"):
        packed(net, optimizer)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda net: torch.optim.SGD(net.parameters()),
            "Adam \\(groups: 1\\), the factory built SGD",
        ),
        (
            lambda net: torch.optim.Adam([{"params": [p]} for p in net.parameters()]),
            "the factory built Adam \\(groups: 6\\)",
        ),
    ],
)
def test_another_optimizer_is_refused_and_unchanged(make, message):
    net = Net()
    saved = packed(net, torch.optim.Adam(net.parameters(), lr=0.5))
    optimizer = make(net)
    before = optimizer.state_dict()
    with pytest.raises(RefusalError, match=message):
        restore_optimizer(optimizer, net, saved, {}.__getitem__)
    assert optimizer.state_dict() == before


def test_a_missing_parameter_is_refused_by_name():
    net = Net()
    saved = packed(net, torch.optim.Adam(net.parameters()))
    saved["groups"][0]["params"].append("gone.weight")
    with pytest.raises(RefusalError, match=r"saved with 'gone\.weight', which the model lacks"):
        restore_optimizer(torch.optim.Adam(net.parameters()), net, saved, {}.__getitem__)
