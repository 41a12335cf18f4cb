"""Moments are those that the new gradients would have made."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from morphir.backend.scaling import scaled
from morphir.backend.surgery import Surgery
from morphir.errors import RefusalError
from morphir.ir import AxisMap, Mapped
from morphir.shares import widened
from morphir.state.transport import _STARTS_AT, Transport
from tests.backend.widenings import (
    UNEQUAL,
    WITH_FRESH,
    Shared,
    changes,
    conv,
    mlp,
    resize_of,
    widen,
)
from tests.specimens import fingerprint

# Every optimizer of torch that is carried over, with options by which all entries of its state
# occur.
OPTIMIZERS = {
    "Adadelta": {},
    "Adagrad": {"initial_accumulator_value": 0.1},
    "Adam": {"amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "Adamax": {},
    "ASGD": {},
    "NAdam": {},
    "RAdam": {},
    "RMSprop": {"momentum": 0.5, "centered": True},
    "Rprop": {},
    "SGD": {"momentum": 0.9, "nesterov": True},
}
CHANGE = (Mapped(6, UNEQUAL), Mapped(6, UNEQUAL, "split"))


ENTRIES_WITH_EPSILON = ("exp_inf", "momentum_buffer", "acc_delta")  # test_transport_bounds.py


def stepped(name: str, parameter: nn.Parameter, gradients, **more) -> torch.optim.Optimizer:
    optimizer = getattr(torch.optim, name)([parameter], **OPTIMIZERS[name], **more)
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
    return optimizer


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_11_moments_of_the_same_history(name):
    """STATE-11: transport after steps is steps after transport"""
    net = nn.Linear(6, 6, bias=False).double()
    gradients = [*torch.randn(5, 6, 6, dtype=torch.float64)]
    optimizer = stepped(name, net.weight, gradients)
    edit = resize_of({"weight": CHANGE})
    Surgery(net).apply([edit])
    Transport([optimizer], net).apply(edit)
    found = optimizer.state[net.weight]
    other = nn.Parameter(torch.zeros(9, 9, dtype=torch.float64))
    wanted = stepped(name, other, [scaled(g, CHANGE, "gradient") for g in gradients]).state[other]
    assert found.keys() == wanted.keys()
    with_epsilon = ENTRIES_WITH_EPSILON if name != "SGD" else ()
    for entry in found.keys() - {"ax", *with_epsilon}:
        torch.testing.assert_close(found[entry], wanted[entry], rtol=1e-12, atol=1e-15)
    net.weight.grad = torch.randn(9, 9, dtype=torch.float64)
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_11_no_other_state_starts_elsewhere(name):
    """STATE-11: a gradient of 0 leaves what is there before the first one"""
    optimizer = stepped(name, nn.Parameter(torch.ones(6, 6)), [torch.zeros(6, 6)])
    (group,) = optimizer.param_groups
    ((parameter, state),) = optimizer.state.items()
    for entry in (e for e, value in state.items() if value.shape == parameter.shape and e != "ax"):
        option = _STARTS_AT.get((type(optimizer), entry))
        start = torch.full((6, 6), 0.0 if option is None else group[option])
        torch.testing.assert_close(state[entry], start, rtol=0, atol=1e-8)  # Adamax's eps


def test_an_average_of_the_parameter_is_changed_as_the_parameter():
    """STATE-11: its free positions start where the parameter's do"""
    net = mlp().double()
    optimizer = torch.optim.ASGD(net.parameters(), lr=0.1)
    net(torch.randn(5, 4, dtype=torch.float64)).sum().backward()
    optimizer.step()
    expected = {n: torch.equal(optimizer.state[p]["ax"], p) for n, p in net.named_parameters()}
    assert all(expected.values())
    edit = resize_of(changes(WITH_FRESH)[mlp])
    Surgery(net).apply([edit])
    Transport([optimizer], net).apply(edit)
    for parameter in net.parameters():
        assert torch.equal(optimizer.state[parameter]["ax"], parameter)


@pytest.mark.parametrize(
    ("name", "entry", "options", "value"),
    [
        ("Adam", "exp_avg", {}, 0.0),
        ("Adagrad", "sum", {"initial_accumulator_value": 0.25}, 0.25),
        ("Rprop", "step_size", {"lr": 0.03}, 0.03),
    ],
)
def test_state_11_fresh_positions_are_those_of_a_fresh_optimizer(name, entry, options, value):
    """STATE-11"""
    net = mlp()
    optimizer = getattr(torch.optim, name)(net.parameters(), **options)
    for _ in range(3):
        net(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    edit = resize_of(changes(WITH_FRESH)[mlp])
    Surgery(net).apply([edit])
    Transport([optimizer], net).apply(edit)
    for parameter, axis in ((net[0].weight, 0), (net[2].weight, 1)):
        found = optimizer.state[parameter][entry].movedim(axis, 0)
        assert (found[[2, 8]] == torch.tensor(value)).all()
        assert (found[0] != value).any()


@pytest.mark.parametrize("options", [{"foreach": True}, {"fused": True}, {"foreach": False}])
@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "Adagrad"])
@pytest.mark.parametrize("make", [mlp, conv, Shared])
def test_the_next_step_is_that_of_the_duality(make, name, options):
    """STATE-11: the widened model steps on, in every implementation, as its moments say"""
    momentum = {"momentum": 0.9} if name == "SGD" else {}
    nets = [make() for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    results = []
    for net, more in zip(nets, ({"foreach": False}, options), strict=True):
        net.to(memory_format=torch.channels_last)
        optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.1, **momentum, **more)
        torch.manual_seed(1)
        for number in range(4):
            if number == 2:
                edit = resize_of(changes(UNEQUAL)[make])
                Surgery(net).apply([edit])
                Transport([optimizer], net).apply(edit)
            optimizer.zero_grad()
            net(torch.randn(5, 4)).square().sum().backward()
            optimizer.step()
        results.append([p.detach().clone() for p in net.parameters()])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_13_undo_puts_back_the_very_tensors(name):
    """STATE-13"""
    net = mlp()
    optimizer = getattr(torch.optim, name)(net.parameters(), **OPTIMIZERS[name])
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    before = fingerprint(net, [optimizer])
    surgery, transport = Surgery(net), Transport([optimizer], net)
    edit = resize_of(changes(WITH_FRESH)[mlp])
    surgery.apply([edit])
    transport.apply(edit)
    assert fingerprint(net, [optimizer]) != before
    transport.undo()
    surgery.undo()
    assert fingerprint(net, [optimizer]) == before


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_19_what_is_kept_of_some_numbers_starts_anew(name: str):
    """STATE-13, STATE-19"""
    net = nn.Linear(4, 3)
    optimizer = getattr(torch.optim, name)(net.parameters(), **OPTIMIZERS[name])
    for _ in range(3):
        net(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    state = optimizer.state[net.weight]
    before = {entry: value for entry, value in state.items() if torch.is_tensor(value)}
    old = {entry: value.clone() for entry, value in before.items()}
    places = torch.eye(3, 4, dtype=torch.bool)
    transport = Transport([optimizer], net)
    transport.forget({"weight": places})
    for entry, was in old.items():
        now = state[entry]
        if was.shape != net.weight.shape:
            assert torch.equal(now, was), entry
            continue
        option = _STARTS_AT.get((type(optimizer), entry))
        start = 0.0 if option is None else optimizer.param_groups[0][option]
        begins = net.weight[places] if entry == "ax" else torch.tensor(start)
        assert (now[places] == begins).all(), entry
        assert torch.equal(now[~places], was[~places]), entry
    transport.undo()
    assert all(state[entry] is value for entry, value in before.items())
    assert all(torch.equal(state[entry], value) for entry, value in old.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_state_22_of_what_restarts_a_fresh_optimizers_state_is_left(name: str):
    """STATE-13, STATE-22: it takes its next step as a new optimizer would"""
    net = nn.Linear(4, 3)
    kind, options = getattr(torch.optim, name), OPTIMIZERS[name]
    optimizer = kind(net.parameters(), **options)
    for _ in range(3):
        net(torch.randn(5, 4)).square().sum().backward()
        optimizer.step()
    before = fingerprint(net, [optimizer])
    very, bias = optimizer.state[net.weight], optimizer.state[net.bias]
    transport = Transport([optimizer], net)
    transport.forget({"weight": torch.ones(3, 4, dtype=torch.bool)}, ["weight"])
    fresh = kind([net.weight], **options).state.get(net.weight, {})
    found = optimizer.state[net.weight]
    assert found.keys() == fresh.keys()
    assert all(torch.equal(found[entry], value) for entry, value in fresh.items())
    assert optimizer.state[net.bias] is bias
    transport.undo()
    assert fingerprint(net, [optimizer]) == before
    assert optimizer.state[net.weight] is very
    transport.forget({}, ["weight"])
    twin = nn.Parameter(net.weight.detach().clone())
    fresh = kind([twin], **options)
    twin.grad = net.weight.grad.clone()
    for each in (optimizer, fresh):
        each.step()
    assert torch.equal(net.weight, twin)


@pytest.mark.parametrize("count", [1, 2])
def test_state_22_fused_momentum_goes_on_where_only_some_restart(count: int):
    """STATE-22: fused SGD takes momentum for all of a group or for none"""
    net = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    Transport([optimizer], net).forget({}, ["weight", "bias"][:count])
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    assert torch.equal(optimizer.state[net.weight]["momentum_buffer"], net.weight.grad)


def test_state_22_an_optimizer_that_begins_in_its_constructor_has_what_that_makes():
    """STATE-22: as torch's Adagrad did until its steps were lazy"""

    class Eager(torch.optim.Optimizer):
        def __init__(self, parameters) -> None:
            super().__init__(parameters, {})
            for group in self.param_groups:
                for parameter in group["params"]:
                    self.state[parameter] = {"total": torch.full_like(parameter, 0.5)}

        def step(self) -> None:
            for state in self.state.values():
                state["total"] += 1

    net = nn.Linear(4, 3)
    optimizer = Eager(net.parameters())
    optimizer.step()
    Transport([optimizer], net).forget({}, ["weight"])
    assert bool((optimizer.state[net.weight]["total"] == 0.5).all())
    assert bool((optimizer.state[net.bias]["total"] == 1.5).all())
    optimizer.step()


def test_state_22_one_history_of_all_parameters_is_refused():
    """STATE-12, STATE-22"""
    net = nn.Linear(4, 3)
    optimizer = torch.optim.LBFGS(net.parameters())

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = net(torch.ones(2, 4)).square().sum()
        found.backward()
        return found

    optimizer.step(loss)
    with pytest.raises(RefusalError, match="one history of all parameters"):
        Transport([optimizer], net).forget({}, ["weight"])


def test_state_19_what_is_not_declared_is_refused():
    """STATE-12, STATE-19"""
    net = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(net.parameters(), momentum=0.9)
    optimizer.state[net.weight]["odd"] = torch.zeros(3, 4)
    with pytest.raises(RefusalError, match="'odd'"):
        Transport([optimizer], net).forget({"weight": torch.eye(3, 4, dtype=torch.bool)})


def test_tied_parameters_buffers_and_other_models_are_carried_once():
    net, other = conv(), nn.Linear(2, 2)
    net[3].tied = net[5]
    one = torch.optim.Adam([*net.parameters(), *other.parameters()])
    two = torch.optim.SGD([net[1].weight], momentum=0.9)
    net(torch.randn(5, 4)).sum().backward()
    other(torch.ones(1, 2)).sum().backward()
    one.step()
    two.step()
    kept = one.state[other.weight]["exp_avg"]
    edit = resize_of(changes(UNEQUAL)[conv])
    Surgery(net).apply([edit])
    Transport([one, two], net).apply(edit)
    assert one.state[other.weight]["exp_avg"] is kept
    assert one.state[net[5].weight]["exp_avg"].shape == (3, 81)
    assert two.state[net[1].weight]["momentum_buffer"].shape == (9, 1, 2, 2)


class Own(torch.optim.Optimizer):
    """Keeps an average of gradients under a name of its own."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                average = self.state[p].setdefault("average", torch.zeros_like(p))
                average.lerp_(p.grad, 0.5)


class Louder(torch.optim.Adam):
    """Adam by another name."""


def trained(make_optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
    net = mlp()
    optimizer = make_optimizer([*net.parameters()])
    net(torch.randn(5, 4)).sum().backward()
    optimizer.step(lambda: torch.zeros(()))
    return net, optimizer


@pytest.mark.parametrize(
    ("make", "name", "can_be_declared"),
    [
        (Own, "Own", True),
        (torch.optim.Adafactor, "Adafactor", False),
        (lambda ps: torch.optim.Muon([p for p in ps if p.dim() == 2]), "Muon", True),
    ],
)
def test_state_12_what_is_not_declared_is_refused(make, name: str, can_be_declared: bool):
    """STATE-12: rules are proposed where rules would do"""
    net, optimizer = trained(make)
    for state in optimizer.state.values():
        state.setdefault("step", torch.tensor(1.0))
    before = fingerprint(net, [optimizer])
    edit = resize_of(changes(UNEQUAL)[mlp])
    with pytest.raises(RefusalError, match=f"state of {name} follows") as error:
        Transport([optimizer], net).check(edit)
    assert any(f"state_rules={{{name}" in each for each in error.value.suggestions) == (
        can_be_declared
    )
    assert "a new optimizer after the change" in error.value.suggestions
    assert fingerprint(net, [optimizer]) == before
    entries = {key for state in optimizer.state.values() for key in state}
    rules = {type(optimizer): dict.fromkeys(entries - {"step"}, "gradient") | {"step": "scalar"}}
    if can_be_declared:
        Transport([optimizer], net, rules).check(edit)
    else:
        with pytest.raises(RefusalError, match="does not have a number for each"):
            Transport([optimizer], net, rules).check(edit)


@pytest.mark.parametrize("kind", ["gradient", "squared", "magnitude", "update", "update_size"])
def test_state_12_whole_numbers_are_values_or_scalars(kind: str):
    """STATE-12: half of a gradient of 3 is none of them"""
    net, optimizer = trained(Own)
    for state in optimizer.state.values():
        state.update({key: each.to(torch.int64) for key, each in state.items()})
    entries = {key for state in optimizer.state.values() for key in state}
    edit = resize_of(changes(UNEQUAL)[mlp])
    transport = Transport([optimizer], net, {Own: dict.fromkeys(entries, kind)})
    with pytest.raises(RefusalError, match=rf"of Own is a torch.int64.* a {kind}\b"):
        transport.check(edit)
    Transport([optimizer], net, {Own: dict.fromkeys(entries, "value")}).check(edit)


@pytest.mark.parametrize("rules", [None, {torch.optim.LBFGS: {}}])
def test_state_12_a_history_of_all_parameters_together_is_refused_whatever_is_declared(rules):
    """STATE-12: it is kept with the first parameter, and others change"""
    net, optimizer = trained(torch.optim.LBFGS)
    assert [*optimizer.state] == [net[0].weight]
    edit = resize_of({"2.weight": changes(UNEQUAL)[mlp]["2.weight"]})
    with pytest.raises(RefusalError, match="LBFGS keeps one history of all parameters") as error:
        Transport([optimizer], net, rules).check(edit)
    assert not any("state_rules" in each for each in error.value.suggestions)
    optimizer.state.clear()  # as it is before its first step
    Transport([optimizer], net, {torch.optim.LBFGS: {}}).check(edit)
    with pytest.raises(RefusalError, match="state of LBFGS follows"):
        Transport([optimizer], net).check(edit)


def test_state_12_users_declare_their_own():
    """STATE-12"""
    net, optimizer = trained(Own)
    average = optimizer.state[net[0].bias]["average"]
    edit = resize_of(changes(UNEQUAL)[mlp])
    Transport([optimizer], net, {Own: {"average": "gradient"}}).apply(edit)
    expected = scaled(average, edit.tensors["0.bias"], "gradient")
    assert torch.equal(optimizer.state[net[0].bias]["average"], expected)


def test_state_12_an_entry_that_is_not_declared_is_refused():
    """STATE-12"""
    net, optimizer = trained(torch.optim.Adam)
    optimizer.state[net[0].weight]["extra"] = torch.zeros(6, 4)
    edit = resize_of(changes(UNEQUAL)[mlp])
    with pytest.raises(RefusalError, match="Adam keeps 'extra', and what that is"):
        Transport([optimizer], net).apply(edit)
    optimizer.state[net[0].weight]["extra"] = torch.zeros(3)
    rules = {torch.optim.Adam: {"step": "magnitude"}}
    with pytest.raises(RefusalError, match=r"'step' of Adam is \(\), and the parameter \(6, 4\)"):
        Transport([optimizer], net, rules).apply(edit)


def test_state_12_a_subclass_has_what_its_base_has():
    """STATE-12"""
    net, optimizer = trained(Louder)
    Transport([optimizer], net).apply(resize_of(changes(UNEQUAL)[mlp]))
    assert optimizer.state[net[0].bias]["exp_avg"].shape == (9,)


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"Adam": {}}, "maps classes of optimizers to what .*, found 'Adam'"),
        (5, "maps classes of optimizers to what .*, found 5"),
        ({Own: "moment"}, "maps classes of optimizers to what .*, found 'moment'"),
        ({Own: {"average": "moment"}}, r"'average' of Own is 'moment'(.|\n)*gradient, squared"),
    ],
)
def test_rules_that_say_nothing_are_refused(rules, message):
    with pytest.raises(RefusalError, match=message):
        Transport([], mlp(), rules)


def parted(shares: str, name: str, steps: int, **options) -> float:
    """How far the rows of copies of the first unit are apart after some steps."""
    share = tuple(map(Fraction, shares.split()))
    rest = tuple(range(1, 6))
    axis_map = AxisMap(6, (0,) * len(share) + rest, share + (Fraction(1),) * 5)
    _, net, _ = widen(mlp, axis_map)
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01, **options)
    x = torch.randn(16, 4, dtype=torch.float64)
    for _ in range(steps):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
    rows = net[0].weight.detach()
    return float((rows[0] - rows[1]).abs().max())


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_state_16_equal_shares_never_part(name):
    """STATE-16"""
    assert parted("1/2 1/2", name, 20) < 1e-12
    assert parted("1/2 1/2", name, 1) < 1e-12


def test_state_16_positive_shares_part_under_sgd_and_not_at_adams_first_step():
    """STATE-16"""
    assert parted("3/4 1/4", "SGD", 1) > 1e-3
    assert parted("3/4 1/4", "Adam", 1) < 1e-6


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "NAdam"])
def test_state_16_one_negative_share_parts_at_the_first_step(name):
    """STATE-16"""
    assert parted("5/4 -1/4", name, 1) > 5e-3


def test_state_16_what_a_widening_draws_by_default_parts():
    """STATE-16: every pair of copies, at Adam's first step"""
    _, net, _ = widen(mlp, widened(6, 12, seed=0))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    net(torch.randn(16, 4, dtype=torch.float64)).square().sum().backward()
    optimizer.step()
    rows = net[0].weight.detach()
    assert ((rows[:6] - rows[6:]).abs().amax(1) > 5e-3).all()
