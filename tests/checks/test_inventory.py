"""An inventory sees what a user would miss, and looking changes nothing."""

import copy
import functools

import torch
from torch import nn

from morphir.checks import Inventory
from morphir.checks.inventory import memories, random_state


def model() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    net[2].weight = net[0].weight
    net.names, net.rate, net.cache = ["a"], 0.5, None
    return net


def test_equal_models_have_equal_inventories():
    net = model()
    one, other = Inventory.of(net), Inventory.of(copy.deepcopy(net))
    assert one.modules == other.modules
    assert one.tensors == other.tensors
    assert one.shared == other.shared
    assert one.keys == tuple(net.state_dict())


def test_every_name_of_a_tied_tensor_is_listed():
    shared = Inventory.of(model()).shared
    assert shared["0.weight"][0] == {"0.weight", "2.weight"}
    assert shared["0.bias"][0] == {"0.bias"}


def test_memory_that_is_shared_by_different_tensors_is_seen():
    net = model()
    net.register_buffer("view", net[0].bias.detach()[:2])
    shared = Inventory.of(net).shared
    assert shared["view"][0] == {"view"}
    assert shared["view"][1] == {"view", "0.bias"}
    net.register_buffer("one", torch.zeros(0))
    net.register_buffer("two", torch.zeros(0))
    assert Inventory.of(net).shared["one"][1] == {"one"}, "nothing is shared where nothing is"


def test_attributes_are_compared_by_value_where_they_are_plain():
    facts = Inventory.of(model()).modules[""]
    assert facts["attribute names"] == ("list", "a")
    assert facts["attribute rate"] == ("float", "0.5")
    assert facts["attribute cache"] is None
    net = model()
    net.rate, net.partial = 0.5 + 2**-40, functools.partial(int)
    facts = Inventory.of(net).modules[""]
    assert facts["attribute rate"] != ("float", "0.5")
    assert facts["attribute partial"] == "<partial>"


def test_bits_are_optional():
    assert "bits" not in Inventory.of(model(), bits=False).tensors["0.bias"]
    assert "bits" in Inventory.of(model()).tensors["1.running_mean"]


def test_the_groups_of_optimizers_with_the_names_of_what_they_hold():
    net = model()
    optimizer = torch.optim.SGD(
        [{"params": [net[0].weight]}, {"params": [net[0].bias], "lr": 1.0}], lr=0.1
    )
    stranger = nn.Parameter(torch.zeros(1))
    optimizer.param_groups[1]["params"].append(stranger)
    first, second = Inventory.of(net, [optimizer]).groups
    assert [*first[1]] == ["0.weight"]
    assert [*second[1]] == ["0.bias", "tensor 0 that is not the model's"]
    assert first[0]["class"] == "SGD"
    assert first[0]["lr"] != second[0]["lr"]


def test_looking_changes_nothing():
    net, state = model(), random_state()
    before = copy.deepcopy(net.state_dict())
    Inventory.of(net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert random_state() == state
    torch.rand(1)
    assert random_state() != state


def test_addresses_have_names():
    net = model()
    assert set(memories(net).values()) >= {"0.weight", "0.bias"}
    assert not memories(net).keys() & memories(copy.deepcopy(net)).keys()
    optimizer = torch.optim.Adam(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    named = memories(net, [optimizer])
    assert named[net[0].weight.grad.data_ptr()] == "the gradient of 0.weight"
    assert named[optimizer.state[net[0].bias]["exp_avg"].data_ptr()] == "exp_avg of 0.bias"


def test_kept_2_the_weights_of_one_recurrent_layer_are_torchs_affair():
    """KEPT-2"""
    net = nn.ModuleDict({"one": nn.GRU(2, 3), "other": nn.GRU(2, 3)})
    flat = torch.zeros(400)
    start = 0
    for parameter in net.parameters():
        parameter.data = flat[start : start + parameter.numel()].view_as(parameter)
        start += parameter.numel()
    near = Inventory.of(net).shared["one.weight_hh_l0"][1]
    own = {name for name in near if name.startswith("one.")}
    assert own == {"one.weight_hh_l0"}
    assert near - own == {f"other.{name}" for name, _ in net["other"].named_parameters()}
