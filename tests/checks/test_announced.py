"""KEPT-6: what may differ after a change of sizes, and nothing else."""

import pytest
import torch
from torch import nn

from morphir.checks import Inventory, check_kept
from morphir.checks.announced import announced
from morphir.ir import AttributeChange, AxisMap, Certificate, Grade, Mapped
from morphir.ir.report import InsertionClaim, ResizeClaim

WIDER = AxisMap.copies(8, (*range(8), 0, 1))
TENSORS = {"0.weight": (Mapped(8, WIDER), Mapped(4)), "0.bias": (Mapped(8, WIDER),)}
RESIZED = Certificate(
    "",
    "",
    resizes=(ResizeClaim("WIDER-1", "0", TENSORS),),
    attributes=(AttributeChange("0", "out_features", 8, 10),),
)


def frozen(*names: str) -> tuple[InsertionClaim, ...]:
    return (InsertionClaim("INJECT-1", "0", "0.injected1", names),)


def removed(name: str) -> Certificate:
    return Certificate("", "", removals=(InsertionClaim("DEEPER-1", "", name),))


def made(width: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, width), nn.ReLU())
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(2, 4)).sum().backward()
    optimizer.step()
    return net, optimizer


def outcome(change) -> str:
    net, optimizer = made(8)
    before = announced(Inventory.of(net, [optimizer]), RESIZED)
    net, optimizer = made(10)
    change(net, optimizer)
    check = check_kept(before, Inventory.of(net, [optimizer]))
    return "" if check.grade is Grade.TESTED else f"{check.where}: {check.summary}"


def test_kept_6_what_was_announced_may_differ():
    assert outcome(lambda net, optimizer: None) == ""


def test_kept_6_the_way_back_is_announced_by_the_same_claims():
    """KEPT-6"""
    before = announced(Inventory.of(made(10)[0]), RESIZED.inverted)
    assert check_kept(before, Inventory.of(made(8)[0])).grade is Grade.TESTED
    assert check_kept(before, Inventory.of(made(9)[0])).grade is Grade.REFUTED


def test_kept_6_of_what_is_new_by_then_nothing_is_announced():
    """KEPT-6, KEPT-10"""
    net, _ = made(8)
    new = ResizeClaim("WIDER-1", "5", {"5.bias": (Mapped(8, WIDER),)})
    attributes = (AttributeChange("5", "out_features", 8, 10),)
    certificate = Certificate("", "", frozen("5.bias"), resizes=(new,), attributes=attributes)
    before = announced(Inventory.of(net), certificate)
    assert check_kept(before, Inventory.of(net)).grade is Grade.TESTED


def test_kept_6_shapes_of_what_optimizers_keep_are_announced_without_bits_too():
    """KEPT-6: and what has no shape stays"""
    net, optimizer = made(8)
    optimizer.state[net[0].weight]["scale"] = 0.5
    found = announced(Inventory.of(net, [optimizer], bits=False), RESIZED).groups[0][1]
    ((_, kept),) = [entry for entry in found["0.weight"] if entry[0] == "exp_avg"]
    assert kept == ("tensor", "torch.float32", (10, 4))
    assert ("scale", ("float", "0.5")) in found["0.weight"]


@pytest.mark.parametrize(
    "certificate",
    [
        RESIZED,
        Certificate("", "", renumbered=("0.weight",)),
        Certificate("", "", frozen("0.weight")),
    ],
)
def test_of_what_looks_at_the_same_memory_nothing_is_announced(certificate: Certificate):
    """KEPT-6, KEPT-9, KEPT-10: it is another parameter"""
    net, _ = made(8)
    net.register_parameter("view", nn.Parameter(net[0].weight.detach()))
    before = Inventory.of(net)
    found = announced(before, certificate).tensors
    assert found["0.weight"] != before.tensors["0.weight"]
    assert found["view"] == before.tensors["view"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda net, _: net[0].weight.requires_grad_(False), "requires_grad"),
        (lambda net, _: setattr(net[0].weight, "grad", None), "gradient"),
        (lambda net, _: setattr(net[0], "out_features", 9), "out_features"),
        (lambda net, _: setattr(net[0], "in_features", 9), "in_features"),
        (lambda net, o: o.state[net[0].weight].update(exp_avg=torch.zeros(8, 4)), "its state"),
        (lambda net, o: o.state[net[0].weight].pop("exp_avg"), "its state"),
        (lambda net, o: o.state[net[0].weight]["step"].zero_(), "its state"),
        (lambda net, _: setattr(net[0], "weight", nn.Parameter(torch.zeros(9, 4))), "shape"),
    ],
)
def test_kept_6_nothing_else_may(change, complaint: str):
    assert complaint in outcome(change)


def shared(*between: nn.Module) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A branch that runs twice and so has two names, with something in it or not."""
    torch.manual_seed(0)
    branch = nn.Sequential(nn.Linear(4, 4), *between)
    net = nn.Sequential(branch, nn.ReLU(), branch)
    return net, torch.optim.Adam(net.parameters())


def test_shallower_4_what_is_gone_is_left_out_under_all_its_names():
    """SHALLOWER-4"""
    net, optimizer = shared(nn.Linear(4, 4))
    before = announced(Inventory.of(net, [optimizer]), removed("0.1"))
    assert "2.1.weight" not in before.keys
    del net[0]._modules["1"]
    kept = [*net.parameters()]
    optimizer.param_groups[0]["params"][:] = kept
    assert check_kept(before, Inventory.of(net, [optimizer])).grade is Grade.TESTED
    net[0][0].bias.data[0] += 1
    check = check_kept(before, Inventory.of(net, [optimizer]))
    assert (check.grade, check.where) == (Grade.REFUTED, "0.0.bias")


def test_shallower_4_what_it_was_tied_to_loses_a_name():
    """SHALLOWER-4: and what looks at the same memory is no other name of it"""
    one, other = nn.Linear(4, 4), nn.Linear(4, 4)
    other.weight = nn.Parameter(one.weight.detach())
    net = nn.Sequential(one, other, nn.Sequential(one, nn.ReLU()))
    before = announced(Inventory.of(net), removed("2"))
    del net[2]
    assert before.is_structured_as(Inventory.of(net))


def test_shallower_4_what_stays_in_a_group_is_found():
    """SHALLOWER-4: a parameter that is gone and that an optimizer holds still"""
    net, optimizer = shared(nn.Linear(4, 4))
    before = announced(Inventory.of(net, [optimizer]), removed("0.1"))
    del net[0]._modules["1"]
    check = check_kept(before, Inventory.of(net, [optimizer]))
    assert (check.grade, "KEPT-4: joined group 0" in check.summary) == (Grade.REFUTED, True)


RENUMBERED = Certificate("", "", renumbered=("0.weight", "0.bias"), masked=("0.weight",))


def renumbered(certificate: Certificate, change) -> str:
    """What is objected to of a masked net of which something has changed."""
    net, optimizer = made(8)
    net[0].register_buffer("weight_mask", torch.ones(8, 4))
    before = announced(Inventory.of(net, [optimizer]), certificate)
    with torch.no_grad():
        change(net[0], optimizer.state)
    check = check_kept(before, Inventory.of(net, [optimizer]))
    return "" if check.grade is Grade.TESTED else f"{check.where}: {check.summary}"


@pytest.mark.parametrize(
    "change",
    [
        lambda layer, kept: layer.weight.add_(1),
        lambda layer, kept: layer.bias.zero_(),
        lambda layer, kept: layer.weight_mask[0].zero_(),
        lambda layer, kept: kept[layer.weight]["exp_avg"].zero_(),
        lambda layer, kept: kept[layer.bias].update(exp_avg_sq=torch.ones(8)),
    ],
)
def test_kept_9_numbers_masks_and_moments_may_differ_where_it_is_announced(change):
    """KEPT-9: and only there"""
    assert renumbered(RENUMBERED, change) == ""
    assert "KEPT-" in renumbered(Certificate("", ""), change)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda layer, kept: layer.weight.grad.mul_(2), "0.weight: KEPT-1: bits of the gradient"),
        (lambda layer, kept: layer.weight.grad.resize_(0), "0.weight: KEPT-1"),
        (lambda layer, kept: setattr(layer.weight, "grad", None), "0.weight: KEPT-1: gradient"),
        (lambda layer, kept: layer.weight.requires_grad_(False), "0.weight: KEPT-1: requires_grad"),
        (
            lambda layer, kept: setattr(layer.weight, "data", layer.weight.T.contiguous().T),
            "0.weight: KEPT-1: strides",
        ),
        (lambda layer, kept: setattr(layer, "weight_mask", torch.ones(8, 4).double()), "dtype"),
        (lambda layer, kept: layer.register_buffer("bias_mask", torch.ones(8)), "nobody announced"),
        (lambda layer, kept: kept[layer.weight]["step"].add_(1), "its state"),
        (lambda layer, kept: kept[layer.weight].pop("exp_avg"), "its state"),
        (lambda layer, kept: kept[layer.weight].update(exp_avg=torch.zeros(8)), "its state"),
        (lambda layer, kept: kept.pop(layer.weight), "its state"),
    ],
)
def test_kept_9_nothing_else_may(change, complaint: str):
    """KEPT-9"""
    assert complaint in renumbered(RENUMBERED, change)


def test_kept_9_of_a_scalar_the_count_of_steps_goes_on():
    """KEPT-9: it has the shape of what is kept for each number"""
    scale = nn.Parameter(torch.tensor(1.0))
    optimizer = torch.optim.Adam([scale])
    scale.grad = torch.tensor(1.0)
    optimizer.step()
    net = nn.ParameterDict({"scale": scale})
    before = announced(Inventory.of(net, [optimizer]), Certificate("", "", renumbered=("scale",)))
    optimizer.state[scale]["exp_avg"].zero_()
    assert check_kept(before, Inventory.of(net, [optimizer])).grade is Grade.TESTED
    optimizer.state[scale]["step"].zero_()
    assert "its state" in check_kept(before, Inventory.of(net, [optimizer])).summary


def test_kept_9_a_mask_is_announced_by_itself():
    """KEPT-9: other numbers of a parameter are no other mask"""
    only_numbers = Certificate("", "", renumbered=("0.weight", "0.bias"))
    found = renumbered(only_numbers, lambda layer, kept: layer.weight_mask[0].zero_())
    assert found.startswith("0.weight_mask: KEPT-1: bits")


def test_kept_9_of_what_restarts_nothing_need_be_kept():
    """KEPT-9: whether that is so is KEPT-11's affair"""
    restarted = Certificate("", "", renumbered=("0.weight",), restarted=("0.weight",))
    assert renumbered(restarted, lambda layer, kept: kept[layer.weight].clear()) == ""
    assert "0.bias" in renumbered(restarted, lambda layer, kept: kept[layer.bias].clear())
