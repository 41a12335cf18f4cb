"""INJECT-5: what was injected can begin anew, and other passes follow."""

import pytest
import torch
from torch import nn

import morphir
from morphir import Grade
from tests.passes.injections import X, inject, learning, mlp, steps


class Headed(nn.Module):
    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.GELU, nn.SiLU, nn.PReLU, nn.LeakyReLU)


def test_inject_5_what_was_injected_can_begin_anew():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for number in range(1, 4):
        steps(model, optimizer)
        result = inject(model, "", X, optimizer=optimizer)
        model, optimizer = result.module, result.optimizer
        assert learning(model) == [f"injected{number}.fresh.{n}" for n in learning(mlp())]
        assert [len(group["params"]) for group in optimizer.param_groups] == [4]
    assert [*model.injected3.fresh._modules] == ["0", "1", "2"]
    assert len(model) == 3


def test_inject_5_a_whole_whose_part_has_begun_anew():
    """The copies are of the module as its class makes it, and the branch within it is frozen."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    part = inject(model, "2", X, optimizer=optimizer)
    steps(part.module, part.optimizer)
    whole = inject(part.module, "", X, optimizer=part.optimizer)
    assert learning(whole.module) == [f"injected1.fresh.{name}" for name in learning(model)]
    assert "injected1" not in whole.module.injected1.fresh[2]._modules
    steps(whole.module, whole.optimizer)


def test_inject_5_other_passes_follow():
    model = inject(mlp(), "", X).module
    for following in (
        morphir.WiderPass(at="injected1.fresh.0", width=9),
        morphir.DeeperPass(at="1", block="residual"),
        morphir.DeeperPass(at="injected1.fresh.1"),
        morphir.CompactPass(),
    ):
        result = morphir.transform(model, following, example_inputs=(X,))
        assert result.report.grade is Grade.PROVED
        assert torch.allclose(result.module(X), model(X), atol=1e-6)


def test_inject_5_a_branch_with_a_guest_can_be_followed_by_another():
    model = inject(mlp(), "", X).module
    deeper = morphir.DeeperPass(at="injected1", block="residual")
    model = morphir.apply(model, deeper, example_inputs=(X,))
    new = inject(model, "", X).module
    assert [*new.injected2.fresh._modules] == ["0", "1", "2"]
    assert "injected1_deeper1" in new.injected1._modules


def test_inject_5_what_is_inserted_behind_it_learns():
    """It follows the copy that learns, though the frozen one ran last."""

    model = Headed(mlp())
    optimizer = torch.optim.Adam(model.parameters())
    result = inject(model, "body", X, optimizer=optimizer)
    deeper = morphir.transform(
        result.module,
        morphir.DeeperPass(at="body", block="residual"),
        optimizer=result.optimizer,
        example_inputs=(X,),
    )
    new = [p for n, p in deeper.module.named_parameters() if "deeper1" in n]
    held = {id(p) for group in deeper.optimizer.param_groups for p in group["params"]}
    assert new
    assert all(p.requires_grad and id(p) in held for p in new)


@pytest.mark.parametrize(
    "at",
    [
        "body.injected1.frozen",
        "body.injected1.frozen.0",
        "body.injected1.frozen.1",
        ["body.injected1.frozen.1", "body.injected1"],
        ["body.injected1.frozen.2", "head"],
    ],
    ids=str,
)
def test_inject_2_what_is_put_into_the_copy_that_is_frozen_is_frozen(at: str | list[str]):
    """In the same call other layers may follow the copy that learns, which has no such layer."""
    model = Headed(nn.Sequential(nn.ReLU(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)))
    optimizer = torch.optim.Adam(model.parameters())
    result = inject(model, "body", X, optimizer=optimizer)
    deeper = morphir.transform(
        result.module,
        morphir.DeeperPass(at=at, block="residual"),
        optimizer=result.optimizer,
        example_inputs=(X,),
    )
    held = {id(p) for group in deeper.optimizer.param_groups for p in group["params"]}
    new = {n: p for n, p in deeper.module.named_parameters() if "deeper1" in n}
    in_it = {name for name in new if ".frozen." in name or "frozen_deeper1" in name}
    assert in_it
    for name, parameter in new.items():
        learns = name not in in_it
        assert (parameter.requires_grad, id(parameter) in held) == (learns, learns), name
