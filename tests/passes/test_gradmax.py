"""WIDER-4: fresh units in directions for which what reads them receives a large gradient."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import Grade, RefusalError, WiderPass
from tests.passes.widenings import Agent, assert_same, mlp

Loss = Callable[[torch.Tensor], torch.Tensor]


def images() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 5, 3, stride=2), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 4),
    )  # fmt: skip


def classes(output: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(output, torch.arange(len(output)) % output.shape[-1])


# A model, the shape of its input, the layer, its new width, its reader.
SITES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, int, str]] = {
    "relu": (mlp, (32, 4), "0", 8, "2"),
    "tanh": (lambda: mlp(nn.Tanh), (32, 4), "2", 7, "4"),
    "gelu": (lambda: mlp(nn.GELU), (32, 4), "0", 9, "2"),
    "silu": (lambda: mlp(nn.SiLU), (32, 4), "2", 7, "4"),
    "images": (images, (8, 2, 7, 7), "0", 9, "2"),
}


def grown(model: nn.Module, at: str, width: int, *x: torch.Tensor, **options: Any) -> Any:
    wider = WiderPass(at=at, width=width, **options)
    result = morphir.transform(model, wider, example_inputs=x)
    assert result.report.grade is Grade.PROVED, result.report
    return result


def outgoing_gradient(model: nn.Module, reader: str, old: int, x: torch.Tensor) -> torch.Tensor:
    """What the outgoing weights of new units receive."""
    model.zero_grad()
    classes(model.eval()(x)).backward()
    return model.get_submodule(reader).weight.grad[:, old:].clone()


@pytest.mark.parametrize("name", SITES)
@pytest.mark.parametrize("seed", range(3))
def test_wider_4_the_gradient_is_larger_than_for_random_directions(name: str, seed: int):
    """WIDER-4: of as many units of the same length"""
    torch.manual_seed(seed)
    make, shape, at, width, reader = SITES[name]
    model, x = make(), torch.randn(shape)
    result = grown(model, at, width, x, init="gradmax", data=(x,), loss=classes)
    assert result.report.laws == ("CERT-5", "WIDER-2")
    assert_same(model, result.module, x)
    layer = result.module.get_submodule(at)
    old = model.get_submodule(at).weight.shape[0]
    lengths = layer.weight.detach().flatten(1).norm(dim=1)
    torch.testing.assert_close(lengths[old:], lengths[:old].mean().expand(width - old))
    assert (layer.bias[old:] == 0).all()
    found = outgoing_gradient(result.module, reader, old, x).norm()
    others = []
    for _ in range(20):
        other = copy.deepcopy(result.module)
        rows = F.normalize(torch.randn(width - old, layer.weight[0].numel())) * lengths[old]
        with torch.no_grad():
            other.get_submodule(at).weight[old:] = rows.view_as(layer.weight[old:])
        others.append(outgoing_gradient(other, reader, old, x).norm())
    assert found > torch.stack(others).mean()


def test_wider_4_for_a_linear_layer_the_first_direction_is_the_best_there_is():
    """WIDER-4: with an activation that is linear nothing is approximated"""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)), torch.randn(32, 4)
    result = grown(model, "0", 7, x, init="gradmax", data=(x,), loss=classes)
    output = model(x).detach().requires_grad_()
    classes(output).backward()
    _, values, vectors = torch.linalg.svd(output.grad.T @ x)
    row = result.module[0].weight[6].detach()
    torch.testing.assert_close((row / row.norm() @ vectors[0]).abs(), torch.ones(()))
    found = outgoing_gradient(result.module, "1", 6, x).norm()
    torch.testing.assert_close(found, values[0] * row.norm())


def test_wider_4_more_units_than_directions_are_drawn():
    """WIDER-4: a loss of one output has a gradient of rank one"""
    model, x = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1)), torch.randn(16, 4)
    options: dict[str, Any] = {"init": "gradmax", "data": (x,), "loss": torch.sum}
    one, same, other = (
        grown(model, "0", 9, x, seed=seed, **options).module[0].weight[6:] for seed in (0, 0, 1)
    )
    assert torch.equal(one, same)
    assert torch.equal(one[0], other[0])
    assert not torch.equal(one[1], other[1])
    assert torch.linalg.matrix_rank(one) == 3


def test_wider_4_two_layers_at_once():
    """WIDER-4: the new units of one do not read those of the other"""
    x = torch.randn(16, 4)
    result = grown(mlp(), ["0", "2"], 8, x, init="gradmax", data=(x,), loss=classes)
    assert (result.module[2].weight[:, 6:] == 0).all()
    assert (result.module[2].weight[5:, :6] != 0).all()
    assert str(result.report).count("WIDER-4") == 2


def test_wider_4_on_one_of_two_entry_points():
    """WIDER-4"""
    model, x = Agent(), torch.randn(16, 4)
    wider = WiderPass(
        at="trunk.0", width=8, init="gradmax", data={"value": (x,)}, loss=lambda v: v.sum()
    )
    result = morphir.transform(model, wider, example_inputs=(x,), entry_points=("act", "value"))
    assert result.report.grade is Grade.PROVED
    result.module.value(x).sum().backward()
    assert (result.module.critic.weight.grad[:, 6:] != 0).any()


def test_wider_4_changes_nothing_of_the_users_and_a_replay_draws():
    """WIDER-4: a lineage holds no data, and its replay has random directions"""
    model, x = mlp(), torch.randn(16, 4)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    with torch.no_grad():
        result = grown(model, "0", 8, x, init="gradmax", data=(x,), loss=classes)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(p.grad is None and not p.requires_grad for p in model.parameters())
    again = morphir.replay(result.lineage, copy.deepcopy(model))
    assert_same(model, again, x)
    assert not torch.equal(again[0].weight, result.module[0].weight)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"loss": lambda output: output.mean(0)}, r"loss= returned \(3,\) for 'forward'"),
        ({"loss": lambda output: 3.0}, "loss= returned float"),
        ({"loss": lambda output: output.detach().sum()}, "expected one number that depends on"),
        ({"loss": lambda output: output[7, 7]}, "loss= raised IndexError"),
        ({"loss": lambda output: 0 * output.sum()}, "no gradient, or none that is finite"),
        ({"data": (torch.randn(5, 3),)}, "'forward' can't be run on data="),
        ({"data": {"act": (torch.randn(5, 4),)}}, "not among the entry points"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wider_4_data_and_losses_that_do_not_fit_are_refused(options: Any, match: str):
    """WIDER-4"""
    x = torch.randn(5, 4)
    with pytest.raises(RefusalError, match=match):
        grown(mlp(), "0", 8, x, **{"init": "gradmax", "data": (x,), "loss": classes, **options})


@pytest.mark.parametrize("factor", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_refused(factor: float):
    with pytest.raises(RefusalError, match=r"loss= returned .*(nan|inf).*, expected a finite"):
        grown(
            mlp(), "0", 8, torch.randn(8, 4), init="gradmax", data=(torch.randn(8, 4),),
            loss=lambda output: output.sum() * factor,
        )  # fmt: skip


def test_a_gradient_that_is_not_finite_is_refused():
    with pytest.raises(RefusalError, match="no gradient, or none that is finite"):
        grown(
            mlp(), "0", 8, torch.randn(8, 4), init="gradmax", data=(torch.randn(8, 4),),
            loss=lambda output: (output - output.detach()).abs().sqrt().sum(),
        )  # fmt: skip


def test_wider_4_beyond_the_rank_directions_are_random_and_the_report_says_so():
    """WIDER-4: two outputs have two directions"""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    x = torch.randn(64, 5)

    def loss(output: torch.Tensor) -> torch.Tensor:
        return (output - x[:, :2].sin()).square().mean()

    options: dict[str, Any] = {"init": "gradmax", "data": (x,), "loss": loss}
    told = "2 of the 4 new units have random directions, since the gradient on the data has no more"
    assert told in str(grown(model, "0", 12, x, **options).report)
    assert "random directions, since" not in str(grown(model, "0", 10, x, **options).report)
