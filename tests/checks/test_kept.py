"""KEPT-1 to KEPT-5: every change that nobody announced is found and named."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from morphir.checks import Inventory, Original, check_kept
from morphir.checks.kept import other_python
from morphir.ir import Grade, InsertionClaim

CLAIM = InsertionClaim("DEEPER-1", "body.0", "body.new")


def hook(module: nn.Module, args: Any, result: Any) -> None:
    """Does nothing."""


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.5))
        self.norm = nn.BatchNorm1d(4)
        self.head, self.tied = nn.Linear(4, 4), nn.Linear(4, 4)
        self.tied.weight = self.head.weight
        self.register_buffer("mask", torch.ones(4), persistent=False)
        self.limit, self.names = 3, ("a", "b")
        self.activation = torch.relu
        self.head.register_forward_hook(hook)
        self.head.bias.requires_grad_(False)
        self.norm.eval()


def models() -> tuple[Net, Net]:
    torch.manual_seed(0)
    before = Net()
    return before, copy.deepcopy(before)


def complaint(change: Callable[[Net], object], claims: Any = ()) -> tuple[str, str]:
    """What is said about a changed copy, and about what."""
    before, after = models()
    inventory = Inventory.of(before)
    assert check_kept(inventory, Inventory.of(after), ()).grade is Grade.TESTED
    with torch.no_grad():
        change(after)
    follows = {claim.module: () for claim in claims}
    check = check_kept(inventory, Inventory.of(after), claims, follows)
    assert check.grade is Grade.REFUTED
    return check.where, check.summary


def add(model: Net, name: str, layer: nn.Module) -> None:
    layer.train(model.training)
    model.body.add_module(name, layer)


CHANGES: dict[str, tuple[str, str, Callable[[Net], object]]] = {
    "class": ("body.1", "KEPT-1: class", lambda m: m.body.__setitem__(1, nn.ReLU6())),
    "training flag": ("norm", "KEPT-1: training flag", lambda m: m.norm.train()),
    "hook": ("head", "KEPT-1: forward hooks", lambda m: m.head._forward_hooks.clear()),
    "setting": ("body.2", "KEPT-1: attribute p", lambda m: setattr(m.body[2], "p", 0.4)),
    "attribute": ("", "KEPT-1: attribute limit", lambda m: setattr(m, "limit", 4)),
    "function": (
        "",
        "KEPT-1: attribute activation",
        lambda m: setattr(m, "activation", torch.tanh),
    ),
    "new attribute": ("", "KEPT-1: attribute other", lambda m: setattr(m, "other", None)),
    "forward": ("head", "KEPT-1: attribute forward", lambda m: setattr(m.head, "forward", hook)),
    "module": ("norm", "KEPT-1: this module is gone", lambda m: delattr(m, "norm")),
    "another module": (
        "extra",
        "KEPT-1: a module that nobody announced",
        lambda m: setattr(m, "extra", nn.ReLU()),
    ),
    "bits": ("head.weight", "KEPT-1: bits", lambda m: m.head.weight[0, 0].add_(2**-20)),
    "buffer": ("norm.running_mean", "KEPT-1: bits", lambda m: m.norm.running_mean.add_(1)),
    "dtype": (
        "head.bias",
        "KEPT-1: dtype",
        lambda m: setattr(m.head.bias, "data", m.head.bias.double()),
    ),
    "tensor": (
        "head.bias",
        "KEPT-1: this tensor is gone",
        lambda m: m.head.register_parameter("bias", None),
    ),
    "shape": ("mask", "KEPT-1: shape", lambda m: setattr(m, "mask", torch.ones(5))),
    "strides": (
        "body.0.weight",
        "KEPT-1: strides",
        lambda m: setattr(m.body[0].weight, "data", m.body[0].weight.t().contiguous().t()),
    ),
    "requires_grad": ("head.bias", "KEPT-1: requires_grad", lambda m: m.head.bias.requires_grad_()),
    "gradient": (
        "body.0.bias",
        "KEPT-1: gradient",
        lambda m: setattr(m.body[0].bias, "grad", torch.ones(4)),
    ),
    "persistence": (
        "",
        "KEPT-1: non-persistent buffers",
        lambda m: m._non_persistent_buffers_set.clear(),
    ),
    "tie": (
        "head.weight",
        "KEPT-2: was tied to tied.weight",
        lambda m: setattr(m.tied, "weight", nn.Parameter(m.head.weight.clone())),
    ),
    "new tie": (
        "body.0.weight",
        "KEPT-2: was tied to none",
        lambda m: setattr(m.body[0], "weight", m.head.weight),
    ),
    "memory": (
        "body.0.bias",
        "KEPT-2: shares memory",
        lambda m: (
            m.norm.bias.copy_(m.body[0].bias),
            setattr(m.norm.bias, "data", m.body[0].bias.data),
        ),
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_kept_1_and_2_name_what_changed(change: str):
    where, what, function = CHANGES[change]
    found, summary = complaint(function)
    if change == "memory":  # the bits of one had to change first
        assert found in ("norm.bias", where)
    elif change == "new tie":
        assert found in (where, "body.0.weight")
    else:
        assert found == where
        assert summary.startswith(what)


def test_kept_1_what_was_and_what_is_are_told():
    _, summary = complaint(lambda m: delattr(m, "limit"))
    assert summary == "KEPT-1: attribute limit was 3 and is 'missing'"


def test_all_that_changed_is_counted_and_the_first_is_told():
    _, summary = complaint(lambda m: (setattr(m, "limit", 4), setattr(m, "names", ())))
    assert summary == "KEPT-1: attribute limit was 3 and is 4 (and 1 more)"


def test_it_is_counted_what_was_looked_at():
    inventory = Inventory.of(Net())
    assert check_kept(inventory, inventory).figures == {"modules": 8.0, "tensors": 12.0}


def test_kept_1_finds_a_dropped_parameter_hook():
    before, after = models()
    before.head.weight.register_hook(lambda g: g)
    check = check_kept(Inventory.of(before), Inventory.of(after))
    assert check.grade is Grade.REFUTED
    assert check.where == "head.weight"


def test_kept_1_finds_keys_in_another_order():
    def reorder(model: Net) -> None:
        first = model.body._modules.pop("0")
        model.body._modules["0"] = first

    before, after = models()
    reorder(after)
    check = check_kept(Inventory.of(before), Inventory.of(after))
    assert check.grade is Grade.TESTED, "nothing after it in the container has keys"
    after._modules["norm"] = after._modules.pop("norm")
    check = check_kept(Inventory.of(before), Inventory.of(after))
    assert (check.grade, check.where) == (Grade.REFUTED, "norm.weight")
    assert "order" in check.summary


def test_kept_1_allows_what_was_announced():
    before, after = models()
    add(after, "new", nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    inventory = Inventory.of(before)
    assert check_kept(inventory, Inventory.of(after), [CLAIM]).grade is Grade.TESTED
    assert check_kept(inventory, Inventory.of(after)).where == "body.new"


def aliased() -> tuple[Net, Inventory]:
    """A model whose body has a second name."""
    model, _ = models()
    model.twin = model.body
    return model, Inventory.of(model, [torch.optim.SGD(model.parameters(), lr=0.1)])


def test_kept_1_allows_what_was_announced_under_every_name_of_its_home():
    model, inventory = aliased()
    add(model, "new", nn.Linear(4, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM])
    assert check.grade is Grade.TESTED
    model.extra = model.body.new
    check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM])
    assert (check.grade, check.where) == (Grade.REFUTED, "extra.weight")


def test_kept_2_a_module_keeps_its_other_names():
    model, inventory = aliased()
    model.twin = copy.deepcopy(model.body)
    check = check_kept(inventory, Inventory.of(model))
    assert check.grade is Grade.REFUTED
    relu = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU()))
    inventory = Inventory.of(relu)
    relu[1].again = relu[0]
    check = check_kept(inventory, Inventory.of(relu))
    assert (check.where, check.summary) == (
        "0",
        "KEPT-2: was also nothing, is also 1.again",
    )


def test_kept_2_new_parameters_share_no_memory_with_old_ones():
    def share(model: Net) -> None:
        layer = nn.Linear(4, 4)
        layer.weight.data = model.body[0].weight.data
        add(model, "new", layer)

    where, summary = complaint(share, [CLAIM])
    assert "KEPT-2" in summary
    assert where in ("body.0.weight", "body.new.weight")


def test_kept_3_new_modules_follow_their_anchor():
    where, summary = complaint(lambda m: m.body.add_module("new", nn.Dropout().eval()), [CLAIM])
    assert (where, summary[:6]) == ("body.new", "KEPT-3")
    frozen = nn.Linear(4, 4).requires_grad_(False)
    where, summary = complaint(lambda m: add(m, "new", frozen), [CLAIM])
    assert (where, summary[:6]) == ("body.new.weight", "KEPT-3")


def test_kept_3_what_follows_frozen_layers_is_frozen():
    """Where the nearest trains it is not, where all are frozen it has to be."""
    before, after = models()  # head.bias is frozen, body.0 is not
    add(after, "new", nn.Linear(4, 4).requires_grad_(False))
    inventory, now = Inventory.of(before), Inventory.of(after)
    for follows, grade in (
        (("head.bias",), Grade.TESTED),
        (("head.bias", "body.0.weight"), Grade.TESTED),
        (("body.0.weight", "head.bias"), Grade.REFUTED),
        ((), Grade.REFUTED),
    ):
        assert check_kept(inventory, now, [CLAIM], {"body.new": follows}).grade is grade
    after.body.new.requires_grad_(True)
    check = check_kept(inventory, Inventory.of(after), [CLAIM], {"body.new": ("head.bias",)})
    assert check.summary.startswith("KEPT-3: requires gradients, and all that it follows is frozen")


# -- KEPT-4 --------------------------------------------------------------------------------------


def trained(model: Net) -> torch.optim.Optimizer:
    groups = [
        {"params": [*model.body.parameters()], "lr": 0.1},
        {"params": [*model.norm.parameters()]},
    ]
    optimizer = torch.optim.Adam(groups, lr=0.01)
    sum((p**2).sum() for g in groups for p in g["params"]).backward()
    optimizer.step()
    optimizer.zero_grad()
    return optimizer


OPTIMIZER_CHANGES: dict[str, tuple[str, Callable[[Any, Net], object]]] = {
    "left": ("body.0.weight", lambda o, m: o.param_groups[0]["params"].pop(0)),
    "moved": (
        "body.0.weight",
        lambda o, m: o.param_groups[1]["params"].append(o.param_groups[0]["params"].pop(0)),
    ),
    "option": ("group 0 (Adam)", lambda o, m: o.param_groups[0].update(lr=0.2)),
    "state lost": ("body.0.weight", lambda o, m: o.state.pop(m.body[0].weight)),
    "moment changed": (
        "body.0.weight",
        lambda o, m: o.state[m.body[0].weight]["exp_avg"].add_(1e-9),
    ),
    "state key lost": ("body.0.weight", lambda o, m: o.state[m.body[0].weight].pop("exp_avg")),
    "new missing": ("body.new.weight", lambda o, m: None),
    "new twice": (
        "body.new.weight",
        lambda o, m: [g["params"].extend(m.body.new.parameters()) for g in o.param_groups],
    ),
    "old joined": ("head.weight", lambda o, m: o.param_groups[0]["params"].append(m.head.weight)),
    "group added": (
        "the optimizers",
        lambda o, m: o.add_param_group({"params": [*m.body.new.parameters()]}),
    ),
}


@pytest.mark.parametrize("change", OPTIMIZER_CHANGES)
def test_kept_4_names_what_changed_in_an_optimizer(change: str):
    where, function = OPTIMIZER_CHANGES[change]
    model, _ = models()
    optimizer = trained(model)
    inventory = Inventory.of(model, [optimizer])
    add(model, "new", nn.Linear(4, 4))
    if not change.startswith("new") and change != "group added":
        optimizer.param_groups[0]["params"] += model.body.new.parameters()
        assert (
            check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM]).grade is Grade.TESTED
        )
    function(optimizer, model)
    check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM])
    assert check.grade is Grade.REFUTED
    assert (check.where, check.summary[:6]) == (where, "KEPT-4")


def test_kept_4_what_follows_a_layer_that_no_group_holds_may_be_in_none():
    model, _ = models()
    optimizer = trained(model)  # holds body and norm, not head
    inventory = Inventory.of(model, [optimizer])
    add(model, "new", nn.Linear(4, 4))
    for followed, grade in (("head.weight", Grade.TESTED), ("body.0.weight", Grade.REFUTED)):
        follows = {"body.new": (followed,)}
        check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM], follows)
        assert check.grade is grade
    for group in optimizer.param_groups:
        group["params"] += model.body.new.parameters()
    follows = {"body.new": ("head.weight",)}
    check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM], follows)
    assert check.summary.startswith("KEPT-4: a new parameter in 2 optimizer groups")


def test_kept_4_each_new_layer_follows_its_own():
    """KEPT-4: what the one before it follows says nothing about it"""
    model, _ = models()
    optimizer = trained(model)  # holds body and norm, not head
    inventory = Inventory.of(model, [optimizer])
    add(model, "new", nn.Linear(4, 4))
    add(model, "other", nn.Linear(4, 4))
    optimizer.param_groups[0]["params"] += model.body.new.parameters()
    claims = [CLAIM, InsertionClaim("DEEPER-1", "body.0", "body.other")]
    for followed, grade in (("head.weight", Grade.TESTED), ("body.0.weight", Grade.REFUTED)):
        follows = {"body.new": ("body.0.weight",), "body.other": (followed,)}
        check = check_kept(inventory, Inventory.of(model, [optimizer]), claims, follows)
        assert check.grade is grade


def test_kept_4_of_new_parameters_in_one_memory_each_is_in_a_group():
    model, _ = models()
    optimizer = trained(model)
    inventory = Inventory.of(model, [optimizer])
    layer = nn.Linear(4, 4, bias=False)
    layer.view = nn.Parameter(layer.weight.detach()[0])
    layer.twin = layer.view
    add(model, "new", layer)
    held = optimizer.param_groups[0]["params"]
    for one, missing in ((layer.weight, "body.new.twin"), (layer.view, "body.new.weight")):
        held.append(one)
        check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM])
        assert (check.where, check.summary[:6]) == (missing, "KEPT-4")
        held.pop()
    held += [layer.weight, layer.view]
    check = check_kept(inventory, Inventory.of(model, [optimizer]), [CLAIM])
    assert check.grade is Grade.TESTED


# -- KEPT-5 --------------------------------------------------------------------------------------


def test_kept_5_a_copy_leaves_the_original_alone():
    before, after = models()
    original = Original.of(before)
    assert [c.grade for c in original.check(after)] == [Grade.TESTED] * 2
    assert [c.name for c in original.check(before)] == ["kept"]
    with torch.no_grad():
        before.head.weight[0, 0] += 1
    kept, untouched = original.check(after)
    assert (kept.grade, untouched.grade) == (Grade.TESTED, Grade.REFUTED)
    assert (untouched.name, untouched.where) == ("original", "head.weight")


def test_kept_5_a_copy_shares_no_memory_with_the_original():
    before, after = models()
    original = Original.of(before)
    after.norm.weight.data = before.norm.weight.data
    _, untouched = original.check(after)
    assert untouched.grade is Grade.REFUTED
    assert (untouched.where, untouched.summary[:6]) == ("norm.weight", "KEPT-5")


@pytest.mark.parametrize("draw", [lambda: torch.rand(1), lambda: np.random.rand(), random.random])
def test_kept_5_the_random_state_is_left_alone(draw: Callable[[], object]):
    before, after = models()
    original = Original.of(before)
    draw()
    kept = original.check(after)[0]
    assert (kept.grade, kept.where) == (Grade.REFUTED, "the random state")


def test_other_python_is_another_class_or_another_attribute():
    before, after = models()
    inventory = Inventory.of(before, bits=False)
    assert other_python(inventory, Inventory.of(after, bits=False)) == ""
    after.body[2].p = 0.1
    assert other_python(inventory, Inventory.of(after, bits=False)) == "body.2"
    after.activation = torch.tanh
    assert other_python(inventory, Inventory.of(after, bits=False)) == "the model itself"


def test_kept_1_the_numbers_of_gradients_are_kept():
    """KEPT-1"""
    before, after = models()
    for model in (before, after):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
    inventory = Inventory.of(before)
    assert check_kept(inventory, Inventory.of(after)).grade is Grade.TESTED
    after.head.weight.grad.mul_(2)
    check = check_kept(inventory, Inventory.of(after))
    assert check.where == "head.weight"
    assert check.summary.startswith("KEPT-1: bits of the gradient")


@pytest.mark.parametrize("what", ["gradient", "moment"])
def test_kept_5_gradients_and_moments_of_a_copy_have_a_memory_of_their_own(what: str):
    """KEPT-5"""
    before, after = models()
    optimizers = [torch.optim.Adam(model.parameters()) for model in (before, after)]
    for model, optimizer in zip((before, after), optimizers, strict=True):
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    original = Original.of(before, optimizers[:1])
    assert original.check(after, optimizers[1:])[1].grade is Grade.TESTED
    old, new = (next(model.body.parameters()) for model in (before, after))
    if what == "gradient":
        new.grad = old.grad
    else:
        optimizers[1].state[new]["exp_avg"] = optimizers[0].state[old]["exp_avg"]
    check = original.check(after, optimizers[1:])[1]
    assert check.summary == "KEPT-5: the copy shares memory with the original"
    assert check.where in ("the gradient of body.0.weight", "exp_avg of body.0.weight")
