"""New parameters join optimizers, old ones stay where they are."""

import inspect

import gymnasium as gym
import pytest
import torch
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
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


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.Linear(8, 2),
        )

    def forward(self, x):
        return self.net(x)


def test_state_2_weights_with_weights_and_biases_with_biases():
    """STATE-2: of the linear layer, not of the normalisation that is nearer"""
    model = Normed()
    decay = [m.weight for m in model.net if isinstance(m, nn.Linear)]
    biases = [m.bias for m in model.net if isinstance(m, nn.Linear)]
    norms = [*model.net[1].parameters()]
    optimizer = torch.optim.AdamW(
        [
            {"params": norms, "weight_decay": 0.0, "lr": 0.1},
            {"params": biases, "weight_decay": 0.0, "lr": 0.2},
            {"params": decay, "weight_decay": 0.3, "lr": 0.3},
        ]
    )
    result = morphir.transform(model, morphir.DeeperPass(at="net.2"), optimizer=optimizer)
    block = result.module.net.get_submodule("2_deeper1")
    groups = [[id(p) for p in group["params"]] for group in result.optimizer.param_groups]
    assert [len(group) for group in groups] == [2, 4, 4]
    assert groups[1][1] == id(block.layer.bias)
    assert groups[2][1] == id(block.layer.weight)
    assert [group["lr"] for group in result.optimizer.param_groups] == [0.1, 0.2, 0.3]
    assert "1 new parameter joined group 1 of AdamW" in result.report.notes


def test_state_2_a_bias_follows_the_bias_of_a_layer_with_weights():
    """STATE-2: not the normalisation's, which is nearer"""
    linear, norm = nn.Linear(4, 4), nn.BatchNorm1d(4)
    groups = [{"params": [p]} for p in (norm.weight, norm.bias, linear.weight, linear.bias)]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    leaders = [(f"norm.{n}", p) for n, p in norm.named_parameters()]
    leaders += [(f"linear.{n}", p) for n, p in linear.named_parameters()]
    new = {"new.weight": nn.Parameter(torch.eye(4)), "new.bias": nn.Parameter(torch.zeros(4))}
    joining = Joining([optimizer], nn.Sequential(linear, norm))
    joining.join(new, leaders)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1, 2, 2]
    joining.join({"other.bias": nn.Parameter(torch.zeros(4))}, leaders[:2])
    assert [len(group["params"]) for group in optimizer.param_groups] == [2, 1, 2, 2]


def test_state_2_scales_per_channel_go_with_the_biases():
    """STATE-2: a blend of shape (C, 1, 1) is no kernel"""
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Tanh())
    optimizer = torch.optim.SGD(
        [{"params": [model[0].weight]}, {"params": [model[0].bias], "weight_decay": 0.0}], lr=0.1
    )
    result = morphir.transform(
        model,
        morphir.DeeperPass(at="1", block="parametric"),
        optimizer=optimizer,
        example_inputs=(torch.randn(2, 2, 5, 5),),
    )
    block = result.module.get_submodule("1_deeper1")
    groups = [[id(p) for p in group["params"]] for group in result.optimizer.param_groups]
    assert groups[0][1:] == [id(block.layer.weight)]
    assert set(groups[1][1:]) == {id(block.layer.bias), id(block.blend)}


@pytest.mark.parametrize("held", [False, True])
def test_state_9_behind_frozen_layers_only_the_new_one_is_frozen(held):
    """STATE-9, STATE-2: and it is held where they are, so that it thaws with them"""
    net = Net()
    net.extractor.requires_grad_(False)
    optimizer = torch.optim.SGD((net if held else net.head).parameters(), lr=0.1)
    result = morphir.transform(net, morphir.DeeperPass(at="extractor.3"), optimizer=optimizer)
    names = {id(p): n for n, p in result.module.named_parameters()}
    (group,) = result.optimizer.param_groups
    assert [names[id(p)] for p in group["params"]] == (
        [*names.values()] if held else ["head.weight", "head.bias"]
    )
    block = result.module.extractor.get_submodule("3_deeper1")
    assert [p.requires_grad for p in block.parameters()] == [False, False]
    assert "2 new parameters are frozen, as the layers they follow" in result.report.notes
    assert result.report.check("learning").summary == "there is no new parameter that is to learn"
    before = block.layer.weight.clone()
    train_a_little(result.module, result.optimizer)
    assert torch.equal(block.layer.weight, before)


def test_state_2_the_first_layer_upstream_that_trains_is_followed():
    """STATE-2"""
    net = Net()
    net.extractor[2].requires_grad_(False)
    groups = [
        {"params": [*net.extractor[0].parameters()], "lr": 0.1},
        {"params": [*net.head.parameters()], "lr": 0.2},
    ]
    result = morphir.transform(
        net, morphir.DeeperPass(at="extractor.3"), optimizer=torch.optim.SGD(groups)
    )
    assert [len(group["params"]) for group in result.optimizer.param_groups] == [4, 2]


class Pair(nn.Module):
    """A network, and its target on the network's result: what trains comes before what doesn't."""

    def __init__(self) -> None:
        super().__init__()
        self.online = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.target = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

    def forward(self, x):
        return self.target(self.online(x))


PAIR = [morphir.DeeperPass(at="online.1"), morphir.DeeperPass(at="target.1")]


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_state_2_what_follows_a_target_network_does_not_train(frozen, inplace, replayed):
    """STATE-2, STATE-9: in one optimizer, in two groups, by transform and by replay"""
    pair = Pair()
    pair.target.requires_grad_(not frozen)
    groups = [{"params": [pair.online[0].weight]}, {"params": [pair.online[0].bias], "lr": 1.0}]
    groups[0]["params"] += [*pair.online[2].parameters()]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    if replayed:
        lineage = morphir.transform(Pair(), PAIR, example_inputs=(torch.randn(2, 4),)).lineage
        model = morphir.replay(lineage, pair, optimizer=optimizer)
    else:
        result = morphir.transform(
            pair, PAIR, optimizer=optimizer, inplace=inplace, example_inputs=(torch.randn(2, 4),)
        )
        model, optimizer = result.module, result.optimizer
        how = "frozen" if frozen else "in no optimizer"
        assert f"2 new parameters are {how}, as the layers they follow" in result.report.notes
        assert result.report.grade.name == "PROVED"
    names = {id(p): n for n, p in model.named_parameters()}
    held = [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
    assert sorted(held) == sorted(n for n in names.values() if n.startswith("online."))
    assert all(p.requires_grad != frozen for p in model.target.parameters())
    assert all(p.requires_grad for p in model.online.parameters())


def _sac(space):
    actions = gym.spaces.Box(-1, 1, (2,))
    return SACPolicy(space, actions, lambda _: 1e-3), ("latent_pi", "qf0", "qf1")


def _td3(space):
    policy = TD3Policy(space, gym.spaces.Box(-1, 1, (2,)), lambda _: 1e-3)
    return policy, ("mu", "qf0", "qf1")


def _dqn(space):
    return DQNPolicy(space, gym.spaces.Discrete(3), lambda _: 1e-3), ("q_net",)


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("make", [_sac, _td3, _dqn])
def test_state_2_online_and_target_networks_of_stable_baselines3(make, replayed):
    """STATE-2: grown in one call or by replay, the optimizers hold exactly what is online"""
    torch.manual_seed(0)
    policy, heads = make(gym.spaces.Box(-1, 1, (4,)))
    for name, module in policy.named_modules():
        if name.endswith("_target"):
            module.requires_grad_(False)
    parts = [name for name, _ in policy.named_children()]
    x, a = torch.randn(2, 4), torch.randn(2, 2)
    inputs = {part: (x, a) if "critic" in part else (x,) for part in parts}
    names = [name for name, _ in policy.named_modules()]
    sites = [f"{p}.{h}.1" for p in parts for h in heads if f"{p}.{h}.1" in names]
    options = {"example_inputs": inputs, "entry_points": tuple(parts)}
    if replayed:
        lineage = morphir.transform(
            make(policy.observation_space)[0], morphir.DeeperPass(at=sites), **options
        )
        grown = morphir.replay(lineage.lineage, policy)
    else:
        grown = morphir.transform(policy, morphir.DeeperPass(at=sites), **options).module
    held = set()
    for module in grown.modules():
        optimizer = vars(module).get("optimizer")
        held |= {id(p) for g in optimizer.param_groups for p in g["params"]} if optimizer else set()
    for name, parameter in grown.named_parameters():
        online = "_target" not in name
        assert (id(parameter) in held) == online == parameter.requires_grad, name
    assert sum("deeper" in name for name, _ in grown.named_parameters()) == 2 * len(sites)


def test_nothing_to_follow_among_several_groups_is_refused():
    net = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(
        [{"params": [net[2].weight]}, {"params": [net[2].bias], "lr": 0.2}], lr=0.1
    )
    x = torch.randn(2, 4)
    before = fingerprint(net, [optimizer])
    for inplace in (False, True):
        with pytest.raises(RefusalError, match=r"not clear which group(.|\n)*SGD with 2 groups"):
            morphir.transform(
                net,
                morphir.DeeperPass(at="1"),
                optimizer=optimizer,
                inplace=inplace,
                example_inputs=(x,),
            )
    assert fingerprint(net, [optimizer]) == before
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    result = morphir.transform(
        net, morphir.DeeperPass(at="1"), optimizer=optimizer, example_inputs=(x,)
    )
    assert len(result.optimizer.param_groups[0]["params"]) == 4


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


def test_state_2_among_several_optimizers_the_one_that_trains_the_layer():
    """STATE-2: none is held twice"""
    net = Net()
    one = torch.optim.SGD(net.extractor.parameters(), lr=0.1)
    other = torch.optim.Adam(net.head.parameters())
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=[other, one])
    assert [type(o) for o in result.optimizer] == [torch.optim.Adam, torch.optim.SGD]
    assert [len(o.param_groups[0]["params"]) for o in result.optimizer] == [2, 6]


def test_state_2_weights_and_biases_in_different_optimizers():
    """STATE-2: Muon takes matrices only"""
    net = Net()
    matrices = [p for p in net.parameters() if p.dim() == 2]
    vectors = [p for p in net.parameters() if p.dim() == 1]
    optimizers = [torch.optim.AdamW(vectors), torch.optim.Muon(matrices)]
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=optimizers)
    block = result.module.extractor.get_submodule("1_deeper1")
    before = block.layer.weight.detach().clone()
    assert [o.param_groups[0]["params"][1] for o in result.optimizer] == [
        block.layer.bias,
        block.layer.weight,
    ]
    result.module(torch.randn(5, 4)).sum().backward()
    for optimizer in result.optimizer:
        optimizer.step()
    assert not torch.equal(block.layer.weight, before)


def test_state_2_a_layer_in_two_optimizers_is_followed_into_the_first():
    """STATE-2: none is held twice, and the report says so"""
    net = Net()
    both = [torch.optim.SGD(net.parameters(), lr=0.1), torch.optim.Adam(net.extractor.parameters())]
    result = morphir.transform(net, morphir.DeeperPass(at=AT), optimizer=both)
    assert [len(o.param_groups[0]["params"]) for o in result.optimizer] == [8, 4]
    note = "extractor.0.weight is in SGD and in Adam: what follows it joined the first"
    assert note in result.report.notes


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
