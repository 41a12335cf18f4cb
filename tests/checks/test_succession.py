"""KEPT-10: what learns takes the place of what did, in flags, gradients and optimizers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import InjectPlasticityPass
from morphir.checks import Inventory, check_kept
from morphir.checks.announced import announced
from morphir.checks.succession import Place, check_branches, places_of
from morphir.ir import Certificate, Grade, InsertionClaim

X = torch.randn(5, 4)
CLAIM = InsertionClaim("INJECT-1", "2", "2.injected1", ("2.weight", "2.bias"))
HEIRS = {f"2.injected1.fresh.{name}": f"2.{name}" for name in ("weight", "bias")}


def made() -> tuple[nn.Module, list[torch.optim.Optimizer]]:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    one = torch.optim.Adam([net[0].weight, net[2].weight])
    other = torch.optim.SGD([net[0].bias, net[2].bias], lr=0.1, momentum=0.9)
    net(X).square().sum().backward()
    for each in (one, other):
        each.step()
    return net, [one, other]


def outcome(change: Callable[[Any, Any], object]) -> str:
    """What is said of an injection after which somebody did something else."""
    net, optimizers = made()
    before = Inventory.of(net, optimizers)
    options = {"optimizer": optimizers, "example_inputs": (X,), "inplace": True}
    result = morphir.transform(net, InjectPlasticityPass(at="2"), **options)
    with torch.no_grad():
        change(net, optimizers)
    expected, after = announced(before, result.certificate), Inventory.of(net, optimizers)
    check = check_kept(expected, after, [CLAIM], places=places_of(before, HEIRS))
    return "" if check.grade is Grade.TESTED else f"{check.where}: {check.summary}"


def branch(net: Any) -> Any:
    return net.get_submodule("2.injected1")


def joined(number: int, name: str) -> Callable[[Any, Any], object]:
    def change(net: Any, optimizers: Any) -> None:
        optimizers[number].param_groups[0]["params"].append(net.get_parameter(name))

    return change


def left(net: Any, optimizers: Any) -> None:
    group = optimizers[0].param_groups[0]["params"]
    group[:] = [p for p in group if p is not branch(net).fresh.weight]


def moved(net: Any, optimizers: Any) -> None:
    left(net, optimizers)
    joined(1, "2.injected1.fresh.weight")(net, optimizers)


def test_kept_10_what_was_announced_is_accepted():
    assert outcome(lambda net, optimizers: None) == ""


@pytest.mark.parametrize(
    ("change", "place", "complaint"),
    [
        (lambda n, o: branch(n).frozen.bias.requires_grad_(True), "frozen.bias",
         "does not learn requires gradients"),
        (joined(0, "2.injected1.frozen.weight"), "frozen.weight", "is in an optimizer group"),
        (lambda n, o: branch(n).frozen.weight[0, 0].add_(1e-7), "frozen.weight", "not equal"),
        (lambda n, o: branch(n).fresh.bias.zero_(), "frozen.bias", "is not equal to what learns"),
        (lambda n, o: branch(n).fresh.weight.requires_grad_(False), "fresh.weight",
         "requires gradients, or none, unlike"),
        (left, "fresh.weight", "is in the groups [], expected one of [0]"),
        (moved, "fresh.weight", "is in the groups [1], expected one of [0]"),
        (joined(1, "2.injected1.fresh.weight"), "fresh.weight", "is in the groups [0, 1]"),
        (lambda n, o: n[2].weight.requires_grad_(True), "2.weight", "requires_grad was False"),
        (lambda n, o: setattr(n[2].bias, "grad", torch.ones(2)), "2.bias", "gradient was False"),
        (joined(0, "2.weight"), "2.weight", "joined group 0"),
        (lambda n, o: n[0].requires_grad_(False), "0.weight", "requires_grad was True"),
        (lambda n, o: o[0].state[n[0].weight].clear(), "0.weight", "its state in group 0"),
        (lambda n, o: delattr(branch(n), "frozen"), "2.injected1.frozen", "there is no such copy"),
    ],
)  # fmt: skip
def test_kept_10_whatever_else_is_done_is_named(
    change: Callable[[Any, Any], object], place: str, complaint: str
):
    found = outcome(change)
    where, _, summary = found.partition(": ")
    assert where.endswith(place), found
    assert complaint in summary


def test_kept_10_one_that_takes_a_place_has_to_be_there():
    net, _ = made()
    places = {"new": Place(True, ()), "0.weight": Place(False, ())}
    check = check_kept(Inventory.of(net), Inventory.of(net), places=places)
    assert (check.grade, check.where) == (Grade.REFUTED, "new")
    assert check.summary.endswith("is not there (and 1 more)")


def test_kept_10_one_of_several_groups_is_enough():
    """KEPT-10"""
    net, optimizers = made()
    after = Inventory.of(net, optimizers)
    for groups, count in (((0,), 0), ((0, 1), 0), ((1,), 1), ((), 1)):
        found = [*check_branches(after, [], {"0.weight": Place(True, groups)})]
        assert len(found) == count


def test_kept_10_what_looks_at_the_same_memory_is_in_groups_of_its_own():
    """KEPT-10"""
    net, optimizers = made()
    net[0].register_parameter("view", nn.Parameter(net[2].weight.detach()))
    places = places_of(Inventory.of(net, optimizers), HEIRS)
    assert places["2.injected1.fresh.weight"] == Place(True, (0,))


@pytest.mark.parametrize("other", [nn.Linear(6, 3), nn.Linear(6, 2).double()])
def test_kept_10_copies_are_alike_where_no_bits_were_taken_too(other: nn.Module):
    """KEPT-10"""
    net, _ = made()
    morphir.transform(net, InjectPlasticityPass(at="2"), example_inputs=(X,), inplace=True)
    assert not [*check_branches(Inventory.of(net, bits=False), [CLAIM], {})]
    branch(net).frozen = other.requires_grad_(False)
    found = dict(check_branches(Inventory.of(net, bits=False), [CLAIM], {}))
    assert found["2.injected1.frozen.weight"] == "KEPT-10: is not equal to what learns"


def test_kept_10_where_nobody_held_it_nobody_holds_what_takes_its_place():
    net, (_, other) = made()
    before = Inventory.of(net, [other])
    assert places_of(before, HEIRS)["2.injected1.fresh.weight"] == Place(True, ())
    options = {"optimizer": [other], "example_inputs": (X,), "inplace": True}
    report = morphir.transform(net, InjectPlasticityPass(at="2"), **options).report
    assert report.grade is morphir.Grade.PROVED
    assert "1 new parameter is in no optimizer, as the layers they follow" in report.notes


def test_kept_10_a_certificate_says_what_stops_to_learn():
    net, optimizers = made()
    before = Inventory.of(net, optimizers)
    found = announced(before, Certificate("", "", insertions=(CLAIM,)))
    assert not found.tensors["2.weight"]["requires_grad"]
    assert "bits of the gradient" not in found.tensors["2.bias"]
    assert [[*held] for _, held in found.groups] == [["0.weight"], ["0.bias"]]
    assert found.tensors["0.weight"] == before.tensors["0.weight"]
    nothing = announced(before, Certificate("", "", insertions=(replace(CLAIM, freezes=()),)))
    assert nothing.groups == before.groups
