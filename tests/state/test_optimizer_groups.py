"""STATE-2 and STATE-9: new parameters join where what they follow is, or say why not."""

import gymnasium as gym
import pytest
import torch
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

import morphir
from morphir.errors import RefusalError
from morphir.state.optimizer import Joining
from tests.specimens import Net, fingerprint, train_a_little

AT = "extractor.1"


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
