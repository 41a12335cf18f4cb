"""Copies of models that `copy.deepcopy` gives up on."""

import threading

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

from morphir.cloning import clone, clone_value, held, hooks_by_attribute, replica
from tests.specimens import Net, fingerprint


def test_a_cached_result_is_copied_without_its_graph():
    net = Net()
    net.last = net(torch.randn(2, 4))
    net.extractor.cache = {"hidden": [net.last * 2]}
    copied, notes = clone(net, {})
    assert notes == [
        "last: a cached tensor was copied without its autograd graph",
        "extractor.cache['hidden'][0]: a cached tensor was copied without its autograd graph",
    ]
    assert torch.equal(copied.last, net.last)
    assert copied.last.data_ptr() != net.last.data_ptr()
    assert torch.equal(copied.extractor.cache["hidden"][0], net.last * 2)
    assert not copied.last.requires_grad


def test_what_cannot_be_copied_is_shared_and_named():
    net = Net()
    net.extractor[0].lock = threading.Lock()
    net.settings = {"names": ["a"], "locks": (threading.Lock(), 3)}
    net.parent = [net]  # does not make the whole model uncopyable
    before = fingerprint(net)
    copied, notes = clone(net, {})
    assert len(notes) == 2
    assert notes[0].startswith("settings['locks'][0]: a lock can't be copied")
    assert notes[1].startswith("extractor.0.lock: a lock can't be copied")
    assert copied.extractor[0].lock is net.extractor[0].lock
    assert copied.settings["locks"][0] is net.settings["locks"][0]
    assert copied.settings["names"] is not net.settings["names"]
    assert copied.parent == [copied]
    assert copied.head.weight is not net.head.weight
    assert fingerprint(net) == before


class Counting:
    """Counts under a lock, which can't be copied; may hold itself."""

    def __init__(self) -> None:
        self.lock, self.count, self.me = threading.Lock(), 0, self

    def __call__(self, *_: object) -> None:
        with self.lock:
            self.count += 1


@pytest.mark.parametrize("hook_of", [lambda c: c, lambda c: c.__call__])
def test_what_holds_a_lock_is_copied_and_shares_only_the_lock(hook_of):
    net, counting = Net(), Counting()
    net.register_forward_hook(hook_of(counting))
    net.settings = {"counting": counting}
    copied, notes = clone(net, {})
    assert len(notes) == 1
    assert "lock: a lock can't be copied" in notes[0]
    twin = copied.settings["counting"]
    assert twin.me is twin
    assert twin.lock is counting.lock
    copied(torch.randn(2, 4))
    assert (counting.count, twin.count) == (0, 1)


def test_an_object_that_refuses_to_be_copied_is_shared():
    class Secret:
        def __deepcopy__(self, memo):
            raise RuntimeError("mine")

    net = Net()
    net.secret = {"a": Secret()}
    copied, notes = clone(net, {})
    assert notes == ["secret['a']: a Secret can't be copied (mine), so both share it"]
    assert copied.secret["a"] is net.secret["a"]
    assert copied.secret is not net.secret


def test_modules_with_a_way_of_their_own_inside_others():
    """A GraphModule looks at its children while it is copied"""
    net = nn.Sequential(torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 4), nn.ReLU())), Net())
    copied, notes = clone(net, {})
    x = torch.randn(2, 4)
    assert notes == []
    assert torch.equal(copied(x), net(x))
    with torch.no_grad():
        copied.get_parameter("0.0.weight").add_(1)
    assert not torch.equal(copied(x), net(x))


class Stubborn(nn.Module):
    def __deepcopy__(self, memo):
        raise RuntimeError("not me")


def test_a_module_that_refuses_to_be_copied_says_so():
    with pytest.raises(RuntimeError, match="not me"):
        clone(nn.Sequential(Stubborn()), {})


def test_the_memo_is_filled_also_after_a_failed_attempt():
    net, memo = Net(), {}
    net.lock = threading.Lock()
    copied, _ = clone(net, memo)
    assert memo[id(net)] is copied
    assert memo[id(net.head.weight)] is copied.head.weight
    value, notes = clone_value({"weight": net.head.weight, "new": [1]}, "x", memo)
    assert value["weight"] is copied.head.weight
    assert notes == []


def test_a_replica_runs_for_the_original():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(4)
            self.calls = 0
            self.optimizer = torch.optim.Adam(self.parameters())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return self.norm(x)

    model = Counter().train()
    before = fingerprint(model)
    twin = replica(model)
    twin(torch.randn(8, 4))
    assert twin.calls == 1
    torch.manual_seed(0)
    assert fingerprint(model) == before
    assert twin.norm.weight is model.norm.weight
    assert twin.optimizer is model.optimizer


def test_objects_are_found_in_attributes_lists_and_dicts():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    makers = [torch.optim.SGD(model.parameters(), lr=0.1) for _ in range(3)]
    model.one, model[0].two, model[1].three = makers[0], [makers[1]], {"a": (makers[2],)}
    assert [*held(model, torch.optim.Optimizer)] == makers


def test_hooks_of_torch_that_make_an_attribute_are_found():
    layer = nn.Linear(3, 4)
    assert hooks_by_attribute(layer) == {}
    layer.register_forward_pre_hook(lambda module, inputs: None)
    prune.random_unstructured(layer, "weight", 0.5)
    prune.random_unstructured(layer, "weight", 0.5)
    (name,) = hooks_by_attribute(layer)
    layer.weight = None
    hooks_by_attribute(layer)[name](layer, None)
    assert torch.equal(layer.weight, layer.weight_orig * layer.weight_mask)
