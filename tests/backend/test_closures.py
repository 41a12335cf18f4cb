"""BACK-5: functions that go on with the original of a copy are refused, or named."""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, Grade, MaskGrowPass, RecycleDormantPass, ResetPass, WiderPass
from morphir.backend.closures import check_attributes, check_computes_alone
from morphir.backend.copying import duplicate
from morphir.errors import RefusalError
from morphir.frontend import trace
from tests.passes.masked import masked

X = torch.randn(5, 4)


class Net(nn.Module):
    """A net that runs its second layer by way of an attribute."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)
        self.head = make(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.a(x)))

    def tail(self, h: torch.Tensor) -> torch.Tensor:
        return self.b(h)


class Holder:
    """An object that calls what it holds."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, h: torch.Tensor) -> torch.Tensor:
        return self.function(h)


def call(function: Callable[..., Any], h: torch.Tensor) -> torch.Tensor:
    return function(h)


def closing_over(value: Any) -> Callable[..., Any]:
    return lambda h: value(h)


def with_attribute(value: Any) -> Callable[..., Any]:
    function = closing_over(None)
    function.layer = value  # type: ignore[attr-defined]
    return function


def with_keyword(value: Any) -> Callable[..., Any]:
    return lambda h, *, layer=value: layer(h)


def with_itself(parts: list[Any]) -> list[Any]:
    parts.append(closing_over(parts))
    return parts


SHARED: dict[str, Callable[[Any], Any]] = {
    "over the model": lambda net: lambda h: net.b(h),
    "over a layer": lambda net: closing_over(net.b),
    "over a parameter": lambda net: closing_over(net.b.weight),
    "over a method": lambda net: closing_over(net.tail),
    "over a function": lambda net: closing_over(closing_over(net.b)),
    "over a list": lambda net: closing_over([net.b]),
    "over a partial": lambda net: closing_over(partial(call, net.b)),
    "a default": lambda net: lambda h, layer=net.b: layer(h),
    "a default of a keyword": lambda net: with_keyword(net.b),
    "an attribute of a function": lambda net: with_attribute(net.b),
    "a partial": lambda net: partial(closing_over(net.b)),
    "a partial of an argument": lambda net: partial(call, closing_over(net.b)),
    "a method of torch's": lambda net: net.b.weight.mul,
    "in a list": lambda net: [torch.relu, closing_over(net.b)],
    "in a dict": lambda net: {"head": (closing_over(net.b),)},
    "over the list that it is in": lambda net: with_itself([net.b]),
}
COPIED: dict[str, Callable[[Any], Any]] = {
    "a method": lambda net: net.tail,
    "a method of a layer": lambda net: net.b.forward,
    "a layer": lambda net: partial(call, net.b),
    "a partial of a method": lambda net: partial(net.tail),
    "an object": lambda net: Holder(net.b),
}
UNSEEN: dict[str, Callable[[Any], Any]] = {
    "an object with a function": lambda net: Holder(closing_over(net.b)),
    "a weak reference": lambda net: (lambda layer: lambda h: layer()(h))(weakref.ref(net.b)),
}
PASSES: dict[str, Any] = {
    "grow": MaskGrowPass(count=1, score="random"),
    "recycle": RecycleDormantPass((X,), threshold=0.9),
    "reset": ResetPass("b"),
    "deeper": DeeperPass(at="a"),
    "wider": WiderPass("a", width=9),
}


@pytest.mark.parametrize("what", SHARED)
def test_back_5_a_function_over_the_model_in_an_attribute_is_refused(what: str):
    """BACK-5: copies share it"""
    net = Net(SHARED[what])
    with pytest.raises(RefusalError, match=r"'head' holds a function that refers to") as refused:
        duplicate(net)
    assert refused.value.nodes == ("head",)
    assert refused.value.suggestions == ("inplace=True", "a method in place of the function")


@pytest.mark.parametrize("what", COPIED)
def test_back_5_methods_and_partials_become_those_of_the_copy(what: str):
    """BACK-5"""
    net = Net(COPIED[what])
    result = morphir.transform(net, ResetPass("b"), example_inputs=(X,), min_grade=Grade.UNKNOWN)
    result.module(X).sum().backward()
    assert result.module.b.weight.grad is not None
    assert net.b.weight.grad is None


@pytest.mark.parametrize("value", [closing_over(len), torch.relu, closing_over(nn.ReLU()), [1], {}])
def test_a_function_over_nothing_of_the_model_is_copied(value: Any):
    check_attributes(Net(lambda _: value))


def test_a_function_over_what_is_not_there_yet_is_copied():
    def reads() -> Any:
        return later

    check_attributes(Net(lambda _: reads))
    later = Net(lambda _: reads)
    with pytest.raises(RefusalError, match="'head' holds a function that refers to the model:"):
        check_attributes(later)


@pytest.mark.parametrize("pass_", PASSES)
def test_back_5_every_pass_refuses_before_anything_changes(pass_: str):
    """BACK-5"""
    net = masked(Net(SHARED["over the model"]), 0.5)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with pytest.raises(RefusalError, match="'head' holds a function"):
        morphir.transform(net, PASSES[pass_], example_inputs=(X,))
    assert all(torch.equal(net.state_dict()[name], tensor) for name, tensor in before.items())


@pytest.mark.parametrize("pass_", ["grow", "deeper", "wider"])
def test_back_5_in_place_such_a_model_changes(pass_: str):
    """BACK-5: there is no copy that could go on with another one"""
    net = masked(Net(SHARED["over the model"]), 0.5)
    result = morphir.transform(net, PASSES[pass_], example_inputs=(X,), inplace=True)
    assert result.report.grade is Grade.PROVED


@pytest.mark.parametrize("what", UNSEEN)
@pytest.mark.parametrize("pass_", ["grow", "recycle", "reset", "deeper"])
def test_back_5_a_copy_that_computes_with_the_original_is_refused(what: str, pass_: str):
    """BACK-5: wherever the way there is, since the copy is recorded"""
    net = masked(Net(UNSEEN[what]), 0.5)
    with pytest.raises(RefusalError, match=r"goes on computing with 'b\.\w+' of the original"):
        morphir.transform(net, PASSES[pass_], example_inputs=(X,))


def test_back_5_a_hook_that_computes_with_the_original_is_refused_and_another_one_named():
    """BACK-5: one that only looks is the user's affair"""
    net, seen = masked(Net(COPIED["a method"]), 0.5), []
    net.a.register_forward_hook(lambda *_: seen.append(net.b.out_features))
    result = morphir.transform(net, PASSES["grow"], example_inputs=(X,))
    assert result.report.grade is Grade.PROVED
    assert any("still refers to the old model" in note for note in result.report.notes)
    net.a.register_forward_hook(lambda module, given, result: result + net.b.weight.sum())
    with pytest.raises(RefusalError, match=r"goes on computing with 'b\.weight' of the original"):
        morphir.transform(net, PASSES["grow"], example_inputs=(X,))


def test_back_5_constants_of_its_own_are_no_parts_of_the_original():
    """BACK-5"""
    net = Net(lambda _: partial(call, nn.ReLU()))
    net.shift = torch.ones(6)
    net.head = net.shift.add
    program = trace(net, example_inputs=(X,))
    assert any(entry.kind == "constant" for entry in program.state.values())
    check_computes_alone(program, net)
