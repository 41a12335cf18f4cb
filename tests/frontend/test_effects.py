import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend.effects import Effects
from morphir.frontend.isolation import Scratch
from tests.frontend.models import Mlp, One, Recurrent, X


def scratch_of(model: nn.Module) -> tuple[nn.Module, Effects]:
    scratch = Scratch(model)
    return scratch.module, Effects(scratch)


def test_a_call_that_only_computes_leaves_nothing():
    model, effects = scratch_of(Mlp())
    with torch.no_grad():
        model(X)
    effects.check_parameters()
    effects.check_modules()
    assert [*effects.replaced_buffers()] == []
    assert [*effects.kept_tensors()] == []
    assert effects.changed_attributes() == []


def set_grad(model: nn.Module) -> None:
    model.head.weight.grad = torch.ones_like(model.head.weight)


def change_grad(model: nn.Module) -> None:
    model.extractor[0].weight.grad.add_(1)


def freeze(model: nn.Module) -> None:
    model.head.weight.requires_grad_(False)


def write(model: nn.Module) -> None:
    with torch.no_grad():
        model.head.bias.add_(0)


@pytest.mark.parametrize("change", [set_grad, change_grad, freeze, write])
def test_what_happens_to_a_shared_parameter_is_refused_and_put_back(change):
    """FRONT-1"""
    original = Mlp()
    original.extractor[0].weight.grad = grad = torch.ones(8, 4)
    model, effects = scratch_of(original)
    change(model)
    with pytest.raises(RefusalError, match="changes a parameter, its gradient or"):
        effects.check_parameters()
    assert original.head.weight.grad is None
    assert original.head.weight.requires_grad
    assert original.extractor[0].weight.grad is grad


@pytest.mark.parametrize(
    ("change", "words", "place"),
    [
        (lambda m: setattr(m.head, "weight", nn.Parameter(torch.ones(2, 8))), "'weight'", "head"),
        (lambda m: m.head.register_parameter("extra", nn.Parameter(X)), "'extra'", "head"),
        (lambda m: setattr(m, "head", nn.Linear(8, 2)), "'head'", "the model itself"),
        (lambda m: m.extractor.append(nn.ReLU()), "'4'", "extractor"),
        (lambda m: delattr(m, "head"), "'head'", "the model itself"),
    ],
)
def test_new_parameters_and_modules_are_refused_with_their_place(change, words, place):
    model, effects = scratch_of(Mlp())
    change(model)
    with pytest.raises(RefusalError, match=f"adds or replaces the .* {words}") as caught:
        effects.check_modules()
    assert caught.value.nodes == (place,)


def test_assigned_buffers_and_kept_tensors_are_listed_by_name():
    model, effects = scratch_of(nn.Sequential(Recurrent()))
    part = model[0]
    part.last = torch.ones(2)
    part.steps = torch.ones((), dtype=torch.int64)
    part.register_buffer("fresh", torch.zeros(1))
    assert dict(effects.replaced_buffers()) == {"0.steps": part.steps, "0.fresh": part.fresh}
    assert dict(effects.kept_tensors()) == {"0.last": part.last}


def test_plain_attributes_of_the_users_modules_are_compared():
    original = nn.Sequential(One(lambda s, x: x), nn.Linear(2, 2))
    original[0].ratio = float("nan")
    model, effects = scratch_of(original)
    model[0].count += 1
    model[0].name = "x"
    model[1].in_features = 7  # torch's own counts for nothing
    assert effects.changed_attributes() == ["0.count"]
    model[0].ratio = 0.5
    del model[0].heads
    assert effects.changed_attributes() == ["0.heads", "0.count", "0.ratio"]
