"""New parameters join optimizers, old ones stay where they are."""

import inspect

import pytest
import torch
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.state.optimizer import Joining, check_optimizer, optimizers_over
from tests.specimens import Net, fingerprint, train_a_little

AT = "extractor.1"
NEW = ("extractor.1_deeper1.layer.weight", "extractor.1_deeper1.layer.bias")

# Every optimizer of torch, with options that are not the defaults; None where the parameters of
# an ordinary model don't fit.
OPTIMIZERS = {
    "Adadelta": {"lr": 0.3, "rho": 0.8},
    "Adafactor": {"lr": 0.02},
    "Adagrad": {"lr": 0.05, "initial_accumulator_value": 0.25},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01, "weight_decay": 0.1, "foreach": True},
    "Adamax": {"lr": 0.01},
    "ASGD": {"lr": 0.02, "t0": 0.0},
    "NAdam": {"lr": 0.01},
    "RAdam": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "momentum": 0.5, "centered": True},
    "Rprop": {"lr": 0.01},
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "LBFGS": None,
    "Muon": None,
    "SparseAdam": None,
}
HOLDING = [name for name, options in OPTIMIZERS.items() if options is not None]


def test_the_table_lists_every_optimizer_of_torch():
    found = {
        name
        for name, kind in vars(torch.optim).items()
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and name != "Optimizer"
    }
    assert found == OPTIMIZERS.keys()


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("name", HOLDING)
def test_state_1_and_2_for_every_optimizer(name, inplace):
    """STATE-1, STATE-2: existing parameters keep everything, new ones start fresh and move"""
    net = Net()
    optimizer = getattr(torch.optim, name)(net.parameters(), **OPTIMIZERS[name])
    train_a_little(net, optimizer)
    old = dict(net.named_parameters())
    state = {n: {k: _copied(v) for k, v in optimizer.state[p].items()} for n, p in old.items()}
    options = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}

    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer, inplace=inplace)
    net, other = result.module, result.optimizer
    assert (other is optimizer) == inplace
    assert type(other) is type(optimizer)
    parameters = dict(net.named_parameters())
    (group,) = other.param_groups
    assert {k: v for k, v in group.items() if k != "params"} == options
    assert [*map(id, group["params"])] == [*map(id, net.parameters())]
    for n in old:
        kept = other.state[parameters[n]]
        assert kept.keys() == state[n].keys()
        assert all(_equal(kept[k], v) for k, v in state[n].items())
    fresh = type(optimizer)([nn.Parameter(torch.zeros(8, 8))], **OPTIMIZERS[name])
    eager = fresh.state[fresh.param_groups[0]["params"][0]]
    assert other.state.get(parameters[NEW[0]], {}).keys() == eager.keys()

    before = {n: parameters[n].detach().clone() for n in NEW}
    train_a_little(net, other, 3)
    for n in NEW:
        assert not torch.equal(parameters[n], before[n])
        assert other.state[parameters[n]].keys() == state[f"head.{n.rpartition('.')[2]}"].keys()
        step = other.state[parameters[n]].get("step")
        assert step is None or float(step) == 3


def _copied(value):
    return value.clone() if torch.is_tensor(value) else value


def _equal(a, b) -> bool:
    return torch.equal(a, b) if torch.is_tensor(a) else a == b


@pytest.mark.parametrize("name", HOLDING)
def test_state_1_the_old_parameters_move_as_without_growing(name):
    """STATE-1: an identity block changes neither function nor gradient of what was there"""
    net, twin = Net(), Net()
    twin.load_state_dict(net.state_dict())
    make = getattr(torch.optim, name)
    optimizer, other = (make(each.parameters(), **OPTIMIZERS[name]) for each in (net, twin))
    for each, its in ((net, optimizer), (twin, other)):
        torch.manual_seed(1)
        train_a_little(each, its, 3)
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    for each, its in ((result.module, result.optimizer), (twin, other)):
        torch.manual_seed(2)
        train_a_little(each, its, 1)
    grown = dict(result.module.named_parameters())
    for n, parameter in twin.named_parameters():
        torch.testing.assert_close(grown[n], parameter, rtol=0, atol=0)


@pytest.mark.parametrize(
    "options",
    [
        {"fused": True},
        {"foreach": True},
        {"foreach": False},
        {"differentiable": False, "maximize": True},
        {"lr": torch.tensor(0.1)},
        {
            "betas": (torch.tensor(0.9), torch.tensor(0.99)),
            "lr": torch.tensor(0.1),
            "foreach": False,
        },
    ],
    ids=str,
)
def test_state_2_flags_of_the_implementation(options):
    """STATE-2"""
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), **{"lr": 0.1, **options})
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    (group,) = result.optimizer.param_groups
    assert all(_equal_options(group[k], v) for k, v in options.items())
    before = [p.detach().clone() for p in result.module.parameters()]
    train_a_little(result.module, result.optimizer)
    assert not any(map(torch.equal, before, result.module.parameters()))


def _equal_options(a, b) -> bool:
    return all(map(_equal, a, b)) if isinstance(b, tuple) else _equal(a, b)


@pytest.mark.parametrize("steps", [0, 2])
def test_state_2_a_fused_optimizer_with_momentum_goes_on(steps):
    """STATE-2: its kernel takes momentum for all parameters or for none"""
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
    train_a_little(net, optimizer, steps) if steps else None
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    net, optimizer = result.module, result.optimizer
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    train_a_little(net, optimizer, 1)
    for name in NEW:
        parameter = net.get_parameter(name)
        moved = before[name] - 0.1 * parameter.grad  # as a fresh optimizer would
        torch.testing.assert_close(parameter, moved, rtol=0, atol=0)


def test_state_2_capturable_is_kept():
    """STATE-2: the flag is kept; on a CPU torch itself takes no step with it"""
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), capturable=True)
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    assert result.optimizer.param_groups[0]["capturable"] is True
    assert len(result.optimizer.param_groups[0]["params"]) == len([*result.module.parameters()])


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("options", [{"fused": True}, {"foreach": True}], ids=str)
def test_state_10_torchs_own_state_dicts_fit_a_fresh_optimizer(options, inplace, tmp_path):
    """STATE-10: over layers of one shape, a state in another order would be taken silently"""

    def make():
        return nn.Sequential(
            nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)
        )

    def train(net, optimizer, seed):
        generator = torch.Generator().manual_seed(seed)
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.randn(5, 8, generator=generator)).square().sum().backward()
            optimizer.step()

    torch.manual_seed(0)
    net = make()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, **options)
    train(net, optimizer, 0)
    passes = [morphir.DeeperPass(at="3"), morphir.DeeperPass(at="1", block="residual")]
    result = morphir.transform(
        net, passes, optimizer=optimizer, inplace=inplace, example_inputs=(torch.randn(2, 8),)
    )
    net, optimizer = result.module, result.optimizer
    train(net, optimizer, 1)
    torch.save((net.state_dict(), optimizer.state_dict()), tmp_path / "state.pt")
    fresh = morphir.replay(result.lineage, make())
    other = torch.optim.Adam(fresh.parameters(), lr=0.01, **options)
    weights, state = torch.load(tmp_path / "state.pt")
    fresh.load_state_dict(weights)
    other.load_state_dict(state)
    train(net, optimizer, 2)
    train(fresh, other, 2)
    for one, two in zip(net.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, two)


def test_state_10_a_group_in_another_order_gets_new_parameters_at_its_end():
    """STATE-10"""
    net = Net()
    optimizer = torch.optim.SGD([*net.parameters()][::-1], lr=0.1)
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    block = result.module.extractor.get_submodule("1_deeper1")
    (group,) = result.optimizer.param_groups
    assert [*map(id, group["params"][-2:])] == [id(block.layer.weight), id(block.layer.bias)]


@pytest.mark.parametrize("prefix", ["", "policy.", "-"])
def test_state_2_named_groups_get_names(prefix):
    """STATE-2: names start where those of the group start"""
    net = nn.Module()
    net.policy = Net()
    net.forward = None
    named = [*(net.policy if prefix == "-" else net).named_parameters()]
    named = [(n if prefix != "policy." else f"whole.{n}", p) for n, p in named]
    optimizer = torch.optim.Adam(named)
    leader = ("policy.extractor.0.weight", net.policy.extractor[0].weight)
    joining = Joining([optimizer], net)
    joining.join({"policy.extractor.1_deeper1.weight": nn.Parameter(torch.zeros(8, 8))}, [leader])
    group = optimizer.param_groups[0]
    expected = {"": "policy.", "policy.": "whole.policy.", "-": ""}[prefix]
    assert group["param_names"][-1] == f"{expected}extractor.1_deeper1.weight"
    assert len(group["param_names"]) == len(group["params"])
    joining.undo()
    assert group["param_names"] == [n for n, _ in named]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: torch.optim.LBFGS(p), "LBFGS keeps one flat history over all parameters"),
        (lambda p: torch.optim.SparseAdam(p), "SparseAdam only takes sparse gradients"),
        (
            lambda p: torch.optim.Muon([each for each in p if each.dim() == 2]),
            r"Muon does not take a new parameter of shape \(8,\)",
        ),
        (lambda p: Listing(p), "Listing keeps parameters in a list of its own, 'flat'"),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_optimizers_that_cannot_take_new_parameters_say_so(make, message, inplace):
    net = Net()
    optimizer = make([*net.parameters()])
    before = fingerprint(net, [optimizer])
    with pytest.raises(RefusalError, match=message):
        morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer, inplace=inplace)
    assert fingerprint(net, [optimizer]) == before


class Listing(torch.optim.SGD):
    """Steps what is in its list, not what is in its groups."""

    def __init__(self, params):
        super().__init__(params, lr=0.1)
        self.flat = [p for group in self.param_groups for p in group["params"]]


class Wrapping(torch.optim.Optimizer):
    """Another optimizer's groups and steps, as in SAM or Lookahead."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, inner.defaults)
        self.inner, self.param_groups = inner, inner.param_groups

    def step(self, closure=None):
        self.inner.step()


@pytest.mark.parametrize("inplace", [False, True])
def test_state_2_an_optimizer_around_another_one(inplace):
    """STATE-2"""
    net = Net()
    optimizer = Wrapping(torch.optim.Adam(net.parameters(), lr=0.1))
    train_a_little(net, optimizer)
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer, inplace=inplace)
    assert result.optimizer.inner.param_groups is result.optimizer.param_groups
    before = [p.detach().clone() for p in result.module.parameters()]
    train_a_little(result.module, result.optimizer)
    assert not any(map(torch.equal, before, result.module.parameters()))


class Strict(torch.optim.SGD):
    """Wants more than the options of a group."""

    def __init__(self, params, lr, schedule):
        super().__init__(params, lr=lr)
        self.schedule = schedule


def test_an_optimizer_with_a_constructor_of_its_own():
    net = Net()
    optimizer = Strict(net.parameters(), 0.1, [1])
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizer)
    assert type(result.optimizer) is Strict
    assert result.optimizer.schedule == [1]
    assert len(result.optimizer.param_groups[0]["params"]) == 8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: net.parameters, "expected a torch.optim.Optimizer, found method"),
        (lambda net: torch.optim.Adam, "found the class Adam"),
        (lambda net: torch.optim.Adam(Net().parameters()), "holds none of the parameters of Net"),
        (
            lambda net: torch.optim.lr_scheduler.StepLR(torch.optim.SGD(net.parameters()), 1),
            "found StepLR",
        ),
    ],
)
def test_what_is_no_optimizer_over_the_model_is_refused(make, message):
    net = Net()
    with pytest.raises(RefusalError, match=message):
        check_optimizer(make(net), net)
    with pytest.raises(RefusalError, match=message):
        morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=make(net))


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate parameters")
def test_a_parameter_that_is_held_twice_is_refused():
    net = Net()
    optimizer = torch.optim.SGD([*net.parameters(), net.head.weight], lr=0.1)
    with pytest.raises(RefusalError, match="holds a parameter twice"):
        check_optimizer(optimizer, net)


def test_attached_optimizers_of_something_else_are_not_meant():
    net = Net()
    net.log_alpha = torch.zeros(1, requires_grad=True)
    alpha = torch.optim.Adam([net.log_alpha])
    own = torch.optim.Adam(net.parameters())
    assert optimizers_over(net, None, [alpha, own]) == [own]
    assert optimizers_over(net, own, [alpha, own]) == [own]
    assert optimizers_over(net, [own], []) == [own]


def test_undo_leaves_no_trace():
    net = Net()
    optimizer = torch.optim.Adagrad([(n, p) for n, p in net.named_parameters()])
    train_a_little(net, optimizer)
    before = fingerprint(net, [optimizer])
    joining = Joining([optimizer], net)
    joining.join(
        {"a.weight": nn.Parameter(torch.zeros(8, 8)), "a.bias": nn.Parameter(torch.zeros(8))},
        [*net.named_parameters()],
    )
    assert joining.notes == ["2 new parameters joined group 0 of Adagrad"]
    assert fingerprint(net, [optimizer]) != before
    joining.undo()
    assert fingerprint(net, [optimizer]) == before
