"""PLASTIC-5, and each column against a computation that shares nothing with it."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

import morphir
from morphir_agents.measures import hidden_activations, measures
from morphir_agents.td3 import TD3Config, train
from morphir_agents.td3_learner import TD3Learner
from tests.agents.fingerprint import fingerprint
from tests.agents.test_td3 import Notes
from tests.agents.test_td3_learner import ACTION, BATCH, OBSERVATION, draw, start

COLUMNS = [
    f"{network}/{measure}"
    for network in ("actor", "critic")
    for measure in (
        *("dormant", "dormant/1", "dormant/3", "activated", "activated/1", "activated/3"),
        *("rank", "gradient_norm", "weight_norm"),
    )
]


def learned(seed=0, **changes):
    """An agent after an update and its losses, and the batch."""
    agent, learner, _, replay, generator = start(TD3Config(batch=BATCH, **changes), seed)
    batch, _, noise = draw(replay, generator)
    learner.update(batch, noise, 1)
    learner.losses(batch)
    return agent, batch


def layers(network, inputs):
    """The hidden layers of a plain network, as lists: a literal forward pass."""
    found, row = {}, inputs.double()
    for name, module in network.named_children():
        if isinstance(module, nn.Linear):
            row = row @ module.weight.detach().double().T + module.bias.detach().double()
        elif isinstance(module, nn.ReLU):
            row = row.clamp(min=0)
            found[name] = row.tolist()
    return found


def silent_units(rows):
    return [all(number == 0 for number in column) for column in zip(*rows, strict=True)]


def test_every_column_is_there_for_actor_and_critic():
    found = measures(*learned())
    assert list(found) == COLUMNS
    assert all(type(value) is float for value in found.values())


@pytest.mark.parametrize("seed", range(3))
def test_ratios_are_those_of_a_literal_forward_pass_over_both_critics(seed):
    agent, batch = learned(seed)
    with torch.no_grad():
        agent.critic1[0].bias[:3] = -100.0  # three units that no input wakes
        agent.critic2[2].bias[:2] = -100.0
    found = measures(agent, batch)
    for name, networks, inputs in (
        ("actor", [agent.actor], batch.observations),
        ("critic", agent.critics, batch.inputs),
    ):
        per_layer: dict = {"1": [], "3": []}
        for network in networks:
            for layer, rows in layers(network, inputs).items():
                per_layer[layer].append(rows)
        silent = {
            layer: [unit for rows in every for unit in silent_units(rows)]
            for layer, every in per_layer.items()
        }
        on = {
            layer: [number > 0 for rows in every for row in rows for number in row]
            for layer, every in per_layer.items()
        }
        for measure, flags in (("dormant", silent), ("activated", on)):
            for layer, each in flags.items():
                column = f"{name}/{measure}/{layer}"
                assert found[column] == pytest.approx(sum(each) / len(each)), column
            everything = [flag for each in flags.values() for flag in each]
            whole = sum(everything) / len(everything)
            assert found[f"{name}/{measure}"] == pytest.approx(whole)
    assert found["critic/dormant/1"] >= 3 / 18


def test_ranks_are_of_the_last_hidden_layer_and_norms_of_all_parameters():
    agent, batch = learned()
    found = measures(agent, batch)
    ranks = []
    for critic in agent.critics:
        features = np.array(layers(critic, batch.inputs)["3"])
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(features.T @ features), 0))[::-1]
        ranks.append(1 + next(k for k in range(7) if values[: k + 1].sum() >= 0.99 * values.sum()))
    assert found["critic/rank"] == sum(ranks) / 2
    numbers = [p for critic in agent.critics for p in critic.parameters()]
    squares = sum(float(p.detach().double().square().sum()) for p in numbers)
    assert found["critic/weight_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)
    squares = sum(float(p.grad.double().square().sum()) for p in numbers)
    assert found["critic/gradient_norm"] == pytest.approx(math.sqrt(squares), rel=1e-5)


def test_the_actor_s_gradient_is_that_of_its_loss_on_the_batch():
    """Whether or not the actor was updated with it: a resumed run must log the same."""
    agent, batch = learned(policy_delay=2)  # update 1 left the actor alone
    actor = copy.deepcopy(agent.actor)
    actor.zero_grad()
    inputs = torch.cat([batch.observations, actor(batch.observations)], 1)
    (-agent.critic1(inputs).mean()).backward()
    squares = sum(float(p.grad.double().square().sum()) for p in actor.parameters())
    found = measures(agent, batch)["actor/gradient_norm"]
    assert found == pytest.approx(math.sqrt(squares), rel=1e-4)


def test_gradients_of_weights_that_are_not_in_use_do_not_count():
    agent, _, optimizers, replay, generator = start(TD3Config(batch=BATCH))
    agent.actor[0].register_buffer("weight_mask", torch.eye(9, OBSERVATION))
    learner = TD3Learner(agent, optimizers, TD3Config(batch=BATCH))
    batch, _, noise = draw(replay, generator)
    learner.update(batch, noise, 1)
    learner.losses(batch)
    first, *rest = [parameter.grad.double() for parameter in agent.actor.parameters()]
    squares = sum(float(each.square().sum()) for each in (first.diagonal(), *rest))
    found = measures(agent, batch)["actor/gradient_norm"]
    assert found == pytest.approx(math.sqrt(squares), rel=1e-5)


def test_layers_keep_their_columns_when_others_come_grow_or_are_normalised():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2), nn.Tanh())
    inputs = torch.randn(BATCH, 4)
    before = hidden_activations(net, inputs)
    assert [(name, each.shape) for name, each in before.items()] == [("2", (BATCH, 6))]
    plain = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    passes = [morphir.WiderPass(at="0", width=9), morphir.DeeperPass(at="1")]
    grown = morphir.apply(plain, passes, example_inputs=(inputs,))
    after = hidden_activations(grown, inputs)
    assert [(name, each.shape) for name, each in after.items()] == [
        ("1", (BATCH, 9)),
        ("1_deeper1.activation", (BATCH, 9)),
    ]


def test_a_network_of_several_sequentials_has_all_their_layers_by_qualified_name():
    class Injected(nn.Module):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
            self.fresh = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 1))

        def forward(self, x):
            return self.fresh(x) + self.frozen(x)

    inputs = torch.randn(BATCH, 4)
    net = Injected()
    found = hidden_activations(net, inputs)
    assert list(found) == ["fresh.1", "frozen.1"]  # as they run
    assert torch.equal(found["fresh.1"], net.fresh[:2](inputs))
    assert not any(module._forward_hooks for module in net.modules())


def test_networks_that_are_no_longer_alike_are_measured_layer_by_layer():
    agent, batch = learned()
    agent.critic2 = nn.Sequential(nn.Linear(OBSERVATION + ACTION, 5), nn.ReLU(), nn.Linear(5, 1))
    found = measures(agent, batch)
    on = [hidden_activations(critic, batch.inputs) for critic in agent.critics]
    both = torch.cat([(each["1"] > 0).flatten() for each in on]).float().mean()
    assert found["critic/activated/1"] == pytest.approx(float(both))
    assert found["critic/activated/3"] == pytest.approx(float((on[0]["3"] > 0).float().mean()))


def test_what_is_not_a_number_is_logged_as_such():
    agent, batch = learned()
    with torch.no_grad():
        agent.actor[0].weight.fill_(math.nan)
    found = measures(agent, batch)
    assert math.isnan(found["actor/rank"])
    assert not math.isnan(found["critic/rank"])


def test_plastic_5_a_run_ends_the_same_however_often_it_is_logged(tiny_td3_config, tmp_path):
    """PLASTIC-5"""
    ends = []
    for log_every in (1, 7, 600):
        notes = Notes()
        config = tiny_td3_config("tiny/Aim-v0", log_every=log_every)
        trained = train(config, tmp_path / str(log_every), notes)
        ends.append((fingerprint(trained), notes.evaluations))
    assert ends[0] == ends[1] == ends[2]
