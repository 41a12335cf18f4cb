"""INJECT-6: what two copies could not cancel, or what is not a module's own, is refused."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import morphir
from morphir import InjectPlasticityPass, RefusalError
from morphir.frontend import record
from morphir.passes.injectable import unlike, why_not
from tests.checks.pairs import Net
from tests.passes.injections import X, inject, mlp


def outer(forward: Callable[..., Any], **members: Any) -> nn.Module:
    """A model whose `part` has this forward."""
    return Net(lambda s, x: s.part(x), part=Net(forward, **members))


def layer(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.fc(x)


def kept(s: Any, x: torch.Tensor) -> torch.Tensor:
    s.seen = torch.tanh(s.fc(x))
    return s.seen * 2


def counted(s: Any, x: torch.Tensor) -> torch.Tensor:
    s.count = s.count + 1
    return s.fc(x) * s.count


def branched(s: Any, x: torch.Tensor) -> torch.Tensor:
    y = s.fc(x)
    return y if bool(y.sum() > 1e9) else 2 * y


def chosen(s: Any, x: torch.Tensor) -> torch.Tensor:
    y = s.fc(x)
    return y[x[:, 0] > -1e9]


def noisy(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.fc(x) + torch.randn_like(x)


def two(s: Any, x: torch.Tensor) -> Any:
    return s.fc(x), x


def fc() -> nn.Linear:
    return nn.Linear(4, 4)


def headed(s: Any, x: torch.Tensor) -> torch.Tensor:
    return s.head(torch.tanh(s.body(x)))


REFUSED: dict[str, tuple[Callable[[], nn.Module], Any, str]] = {
    "dropout": (
        lambda: mlp(nn.Dropout()),
        "",
        "train mode two copies of the model .* dropout draws",
    ),
    "norm": (
        lambda: mlp(nn.BatchNorm1d(6)),
        "",
        "in train mode .*: batch_norm changes running_mean",
    ),
    "noise": (lambda: outer(noisy, fc=fc()), "part", "two copies of 'part' .*: randn_like draws"),
    "dropout as a function": (
        lambda: outer(lambda s, x: F.dropout(s.fc(x), 0.1, s.training), fc=fc()),
        "part",
        "in train mode two copies of 'part' would not cancel: dropout draws random numbers",
    ),
    "counter": (
        lambda: outer(counted, fc=fc(), count=torch.zeros(())),
        "part",
        "would not cancel: it changes 'part.count'",
    ),
    "kept": (lambda: outer(kept, fc=fc()), "part", "would not cancel: it keeps 'self.part.seen'"),
    "branch": (lambda: outer(branched, fc=fc()), "part", "Python reads a number of a tensor"),
    "size": (lambda: outer(chosen, fc=fc()), "part", "depends on numbers"),
    "squeeze": (
        lambda: outer(lambda s, x: s.fc(x).squeeze(), fc=nn.Linear(4, 1)),
        "part",
        "squeeze may drop a batch of one",
    ),
    "constant": (
        lambda: outer(lambda s, x: s.fc(x) * torch.tensor([1.0, 2, 3, 4]), fc=fc()),
        "part",
        "torch.tensor is not a declared op",
    ),
    "masked actions": (
        lambda: outer(lambda s, x: s.fc(x).masked_fill(x > 1e9, -math.inf) * 2, fc=fc()),
        "part",
        "would not cancel: masked_fill has infinite numbers, and infinity less infinity is none",
    ),
    "additive mask": (
        lambda: outer(lambda s, x: s.fc(x) + s.m, fc=fc(), m=torch.tensor([0, -math.inf, 0, 0])),
        "part",
        "would not cancel: a buffer that add reads has infinite numbers",
    ),
    "two results": (
        lambda: Net(lambda s, x: s.part(x)[0], part=Net(two, fc=fc())),
        "part",
        "'part' returns 2 tensors, expected one",
    ),
    "whole with two results": (lambda: Net(two, fc=fc()), "", "the model returns 2 tensors"),
    "nothing to draw": (mlp, "1", "'1' has no parameters that could begin anew"),
    "never called": (lambda: Net(layer, fc=fc(), other=fc()), "other", "'other' is never called"),
    "within another": (mlp, ["", "2"], "'2' is a part of the model, which begins anew as a whole"),
    "no reset": (
        lambda: Net(lambda s, x: s.fc(x) * s.w, fc=fc(), w=nn.Parameter(torch.ones(4))),
        "",
        r"the model can't begin anew: its parameter 'w' can't be drawn anew",
    ),
    "weight norm": (
        lambda: mlp(nn.utils.parametrizations.weight_norm(nn.Linear(6, 6))),
        "1",
        "'1' can't begin anew: its parameter 'parametrizations.weight.original0'",
    ),
    "works in place": (
        lambda: Net(headed, body=fc(), head=nn.Sequential(nn.ReLU(inplace=True), fc())),
        "head",
        "'head' works in place on what it is given",
    ),
    "an attribute of that name": (
        lambda: outer(layer, fc=fc(), injected1=torch.ones(2)),
        "part",
        "'part' already has a 'injected1'",
    ),
    "unknown": (mlp, "critic", "there is no module 'critic'"),
}


def tied() -> nn.Module:
    model = mlp(nn.Linear(6, 6), nn.Linear(6, 6))
    model[2].weight = model[1].weight
    return model


def registered_twice() -> nn.Module:
    model = Net(lambda s, x: s.critic(s.trunk(x)), trunk=fc(), critic=nn.Sequential(fc()))
    model.critic.append(model.trunk)
    return model


def read_past() -> nn.Module:
    return Net(lambda s, x: s.fc(x) + F.linear(x, s.fc.weight), fc=fc())


def reused() -> nn.Module:
    return Net(lambda s, x: s.part(x) + s.part.fc(x), part=Net(layer, fc=fc()))


SHARED = {
    "tied weight": (tied, "2", "cannot begin anew on its own: a part of it is also '1.weight'"),
    "child elsewhere": (registered_twice, "critic", "a part of it is also 'trunk'"),
    "weight read past it": (read_past, "fc", "the model reads 'fc.weight' past it"),
    "child called past it": (reused, "part", "'part.fc' reads 'part.fc.weight' past it"),
}


@pytest.mark.parametrize("case", [*REFUSED, *SHARED])
def test_inject_6_is_refused_and_nothing_changed(case: str):
    make, at, message = {**REFUSED, **SHARED}[case]
    model = make()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    kinds = [type(each) for each in model.modules()]
    with pytest.raises(RefusalError, match=message) as caught:
        morphir.apply(model, InjectPlasticityPass(at), example_inputs=(X,), inplace=True)
    assert caught.value.suggestions or case == "an attribute of that name"
    assert [type(each) for each in model.modules()] == kinds
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_inject_6_what_is_suggested_is_not_refused():
    model = outer(kept, fc=fc())
    with pytest.raises(RefusalError) as caught:
        morphir.apply(model, InjectPlasticityPass("part"), example_inputs=(X,))
    assert [*caught.value.suggestions] == ["at='part.fc'"]
    inject(model, "part.fc", X)


def test_inject_6_what_only_looks_like_it_is_no_obstacle():
    """Dropout outside of it, ties inside of it, a tensor that others keep, a hook that looks on."""
    seen = []
    model = mlp(nn.Dropout())
    model[2].register_forward_hook(lambda module, args, result: seen.append(result.shape))
    inject(model, "2", X)
    inject(tied(), "", X)

    def keeping(s: Any, x: torch.Tensor) -> torch.Tensor:
        s.seen = s.fc(x)
        return s.seen * 2

    inject(outer(keeping, fc=fc()), "part.fc", X)
    assert seen


def test_inject_6_what_bounds_infinite_numbers_is_no_obstacle():
    """Attention that may not see something"""
    model = outer(lambda s, x: s.fc(x).masked_fill(x > 1, -math.inf).softmax(-1), fc=fc())
    inject(model, "part", X)


def test_inject_6_a_hook_that_computes_is_refused():
    model = mlp()
    model[0].register_forward_hook(lambda module, args, result: 2 * result)
    with pytest.raises(RefusalError, match="a hook of '0' computes"):
        morphir.apply(model, InjectPlasticityPass("0"), example_inputs=(X,))


def test_inject_6_the_model_itself_only_where_it_is_what_is_called():
    model = Net(layer, fc=fc())
    model.value = lambda x: model.fc(x)  # type: ignore[assignment]
    program = record(mlp(), example_inputs=(X,)).program
    assert why_not(program, "") is None

    class Agent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.critic = mlp()

        def get_value(self, x: torch.Tensor) -> torch.Tensor:
            return self.critic(x)

    with pytest.raises(RefusalError, match="'get_value' is an entry point as well") as caught:
        morphir.apply(
            Agent(), InjectPlasticityPass(""), example_inputs=(X,), entry_points=("get_value",)
        )
    assert caught.value.suggestions[0] == "at='critic'"


def test_a_branch_is_no_module_of_the_model():
    model = inject(mlp(), "2", X).module
    program = record(model, example_inputs=(X,)).program
    refusal = why_not(program, "2.injected1")
    assert refusal is not None
    assert refusal.suggestions == ("at='2'",)
    assert why_not(program, "2.injected1.fresh") is None


def test_a_target_has_the_same_tensors():
    model = Net(
        lambda s, x: s.a(x) + s.b(x) + s.c(x), a=fc(), b=fc(), c=nn.Linear(4, 4, bias=False)
    )
    program = record(model, example_inputs=(X,)).program
    assert unlike(program, "a", "b") is None
    refusal = unlike(program, "a", "c")
    assert refusal is not None
    assert "'bias' is not the same in both" in refusal.reason
