"""A host looks like what it was."""

import copy
import inspect
import pickle
import weakref
from abc import ABC, abstractmethod

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from morphir.backend.hosting import (
    add_guest,
    is_guest,
    own_way_of_copying,
    remember,
    remove_branches,
    remove_guest,
)
from morphir.injected import InjectedBranch
from tests.specimens import fingerprint


class Outer:
    class Inner(nn.Linear):
        """A class inside another."""


class Scale(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


class Host(nn.Linear):
    """A docstring."""

    version = 3

    def greet(self) -> str:
        return f"{type(self).__name__} of {self.in_features}"

    def forward(self, x: torch.Tensor, *, shift: float = 0.0) -> torch.Tensor:
        return super().forward(x) + shift


def test_back_3_guests_run_in_order_on_the_result():
    """BACK-3"""
    host, x = Host(4, 4), torch.randn(2, 4)
    before = host(x, shift=1.0)
    add_guest(host, "a", Scale(3.0))
    add_guest(host, "b", nn.ReLU())
    assert torch.equal(host(x, shift=1.0), (before * 3.0).relu())


def test_back_3_it_is_what_it_was():
    """BACK-3"""
    host = Host(4, 4)
    reference = weakref.ref(host)
    add_guest(host, "a", Scale(3.0))
    assert reference() is host
    assert isinstance(host, Host)
    assert host.greet() == "Host of 4"
    assert host.version == 3
    kind = type(host)
    assert (kind.__name__, kind.__qualname__, kind.__module__, kind.__doc__) == (
        "Host", "Host", Host.__module__, "A docstring.",
    )  # fmt: skip
    assert inspect.signature(host.forward) == inspect.signature(Host(4, 4).forward)
    assert [*host.state_dict()] == ["weight", "bias", "a.factor"]
    assert repr(host).startswith("Host(\n  in_features=4")


def test_back_3_classes_inside_classes_keep_their_names():
    """BACK-3"""
    host = Outer.Inner(4, 4)
    add_guest(host, "a", Scale(3.0))
    assert type(host).__qualname__ == "Outer.Inner"
    assert type(pickle.loads(pickle.dumps(host))).__mro__[1] is Outer.Inner


def test_equal_classes_share_one_host_class():
    one, other = Host(4, 4), Host(4, 4)
    add_guest(one, "a", Scale(3.0))
    add_guest(other, "b", Scale(3.0))
    assert type(one) is type(other)


def test_back_4_undo_in_any_number_of_steps():
    """BACK-4"""
    host = Host(4, 4)
    steps = [fingerprint(host)]
    undo = []
    for name in ("a", "b", "c"):
        undo.append(remember(host))
        add_guest(host, name, nn.ReLU())
        steps.append(fingerprint(host))
    for step in undo[::-1]:
        steps.pop()
        step()
        assert fingerprint(host) == steps[-1]
    assert type(host) is Host


def test_hooks_see_what_consumers_see():
    host, x, seen = Host(4, 4), torch.randn(2, 4), []
    host.register_forward_pre_hook(lambda m, a: seen.append(a[0]))
    host.register_forward_hook(lambda m, a, out: seen.append(out))
    host.register_full_backward_hook(lambda m, gi, go: seen.append(go[0]))
    add_guest(host, "a", Scale(3.0))
    y = host(x.requires_grad_())
    y.sum().backward()
    assert torch.equal(seen[0], x)
    assert torch.equal(seen[1], y)
    assert torch.equal(seen[2], torch.ones(2, 4))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_moving_a_host_moves_its_guests(dtype):
    host = Host(4, 4)
    add_guest(host, "a", Scale(3.0))
    assert host.to(dtype).a.factor.dtype is dtype
    assert host.eval().a.training is False


class Abstract(nn.Module, ABC):
    @abstractmethod
    def forward(self, x: torch.Tensor) -> torch.Tensor: ...


class Concrete(Abstract):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return -x


def test_a_class_with_another_metaclass():
    host = Concrete()
    add_guest(host, "a", nn.ReLU())
    assert isinstance(host, Abstract)
    assert torch.equal(host(torch.tensor([-1.0, 1.0])), torch.tensor([1.0, 0.0]))
    assert torch.equal(pickle.loads(pickle.dumps(host))(torch.tensor([-1.0])), torch.tensor([1.0]))


@pytest.mark.parametrize(
    "parametrization", [parametrizations.weight_norm, parametrizations.orthogonal]
)
def test_a_parametrized_host(parametrization):
    host, x = parametrization(Host(4, 4)), torch.randn(2, 4)
    before = host(x)
    undo = remember(host)
    add_guest(host, "a", Scale(3.0))
    assert torch.equal(host(x), before * 3.0)
    assert parametrize.is_parametrized(host, "weight")
    twin = copy.deepcopy(host)
    assert torch.equal(twin(x), host(x))
    assert twin.a is not host.a
    with pytest.raises(RuntimeError, match="Serialization of parametrized modules"):
        pickle.dumps(host)
    undo()
    assert torch.equal(host(x), before)
    parametrize.remove_parametrizations(host, "weight")
    assert type(host) is Host


def test_back_18_a_host_without_guests_is_of_its_old_class():
    """BACK-18: in any order of removal, and with a parametrization as without"""
    for order in ("ab", "ba"):
        host, x = Host(4, 4), torch.randn(2, 4)
        before, expected = fingerprint(host), host(x)
        add_guest(host, "a", Scale(3.0))
        add_guest(host, "b", Scale(2.0))
        first, last = order
        remove_guest(host, first)
        assert not is_guest(host, first)
        assert torch.equal(host(x), expected * {"a": 3.0, "b": 2.0}[last])
        remove_guest(host, last)
        assert fingerprint(host) == before
        assert type(host) is Host
    host = parametrizations.weight_norm(Host(4, 4))
    expected = host(x)
    add_guest(host, "a", Scale(3.0))
    remove_guest(host, "a")
    assert parametrize.is_parametrized(host, "weight")
    assert torch.equal(host(x), expected)
    parametrize.remove_parametrizations(host, "weight")
    assert type(host) is Host


def test_removing_the_parametrization_of_a_host_keeps_the_guest():
    host, x = parametrizations.weight_norm(Host(4, 4)), torch.randn(2, 4)
    add_guest(host, "a", Scale(3.0))
    expected = host(x)
    parametrize.remove_parametrizations(host, "weight")
    torch.testing.assert_close(host(x), expected, rtol=1e-6, atol=1e-6)
    assert not parametrize.is_parametrized(host)
    assert "a.factor" in host.state_dict()


def test_a_host_that_is_parametrized_later():
    host, x = Host(4, 4), torch.randn(2, 4)
    add_guest(host, "a", Scale(3.0))
    expected = host(x)
    parametrizations.weight_norm(host)
    torch.testing.assert_close(host(x), expected, rtol=1e-6, atol=1e-6)
    add_guest(host, "b", Scale(2.0))
    torch.testing.assert_close(host(x), 2 * expected, rtol=1e-6, atol=1e-6)
    parametrize.remove_parametrizations(host, "weight")
    torch.testing.assert_close(host(x), 2 * expected, rtol=1e-6, atol=1e-6)


def test_own_ways_of_copying_are_named():
    assert own_way_of_copying(Host(2, 2)) == ""
    assert own_way_of_copying(parametrizations.weight_norm(Host(2, 2))) == ""
    assert own_way_of_copying(nn.MultiheadAttention(4, 2)) == ""
    assert own_way_of_copying(nn.GRU(4, 2)) == ""
    graph_module = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
    assert own_way_of_copying(graph_module).startswith("GraphModule.")
    host = Host(2, 2)
    add_guest(host, "a", nn.ReLU())
    assert own_way_of_copying(host) == ""


def test_a_host_compiles():
    host, x = nn.Sequential(Host(4, 4), nn.ReLU()), torch.randn(2, 4)
    add_guest(host[0], "a", Scale(3.0))
    compiled = torch.compile(host, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), host(x), rtol=1e-6, atol=1e-6)


def test_back_20_a_sequential_that_hosts_has_its_own_children():
    """BACK-20: guests are neither run, counted, indexed nor sliced."""
    host, x = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(3, 4)
    children, before = [*host], host(x)
    add_guest(host, "guest", Scale(2.0))
    assert torch.equal(host(x), 2 * before)
    assert len(host) == 3
    assert [*host] == children
    assert host[-1] is children[-1]
    assert [*reversed(host)] == children[::-1]
    assert type(host[:2]) is nn.Sequential
    assert torch.equal(host[:2](x), children[1](children[0](x)))
    with pytest.raises(IndexError):
        host[3]
    assert [*host._modules] == ["0", "1", "2", "guest"]
    for twin in (copy.deepcopy(host), pickle.loads(pickle.dumps(host))):
        assert torch.equal(twin(x), 2 * before)
        assert len(twin) == 3
    host.append(nn.ReLU())
    assert torch.equal(host(x), 2 * before.relu())
    remove_guest(host, "guest")
    assert type(host) is nn.Sequential
    assert torch.equal(host(x), before.relu())


def test_back_3_a_branch_is_given_what_its_host_was_given():
    """BACK-3: in its place among the other guests"""
    host, x = Host(4, 4), torch.randn(2, 4)
    before = host(x, shift=1.0)
    branch = InjectedBranch(Host(4, 4), Host(4, 4))
    add_guest(host, "a", Scale(3.0))
    add_guest(host, "b", branch)
    difference = branch.fresh(x, shift=1.0) - branch.frozen(x, shift=1.0)
    assert torch.equal(host(x, shift=1.0), before * 3.0 + difference)


def test_branches_are_taken_out_and_other_guests_stay():
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    add_guest(net, "b", InjectedBranch(nn.Linear(4, 4), nn.Linear(4, 4)))
    for name in ("a", "b"):
        add_guest(net[0], name, InjectedBranch(nn.Linear(4, 4), nn.Linear(4, 4)))
    add_guest(net[0], "c", nn.ReLU())
    remove_branches(net)
    assert type(net) is nn.Sequential
    assert [*net[0]._modules] == ["c"]
    assert is_guest(net[0], "c")
