import copy

import gymnasium as gym
import numpy as np
import pytest
import torch

import morphir
from morphir_agents.new_head import add_head
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

SIZES = [(3, 2), (5, 1), (2, 4)]
"""Numbers per observation and per action."""


def build(widths=(16, 8), seed=0):
    """An agent for three tasks, which has learned a little of the first, and its optimizers."""
    spaces = [(seen, gym.spaces.Box(0.0, 2.0 + act, (act,))) for seen, act in SIZES]
    agent = build_td3_agent(TD3NetworkConfig(widths), *spaces[0], 0.1, seed, spaces[1:])
    critics = [p for critic in agent.critics for p in critic.parameters()]
    optimizers = [
        torch.optim.Adam(parameters, fused=True)
        for parameters in ([*agent.actor.parameters()], critics)
    ]
    seen, action = inputs(0)
    (sum(v.sum() for v in agent.get_values(seen, action)) + agent.actor(seen).sum()).backward()
    for optimizer in optimizers:
        optimizer.step()
    return agent, optimizers


def inputs(task, rows=6):
    generator = torch.Generator().manual_seed(task)
    return tuple(torch.randn(rows, size, generator=generator) for size in SIZES[task])


def outputs(agent, task):
    agent.select(task)
    seen, action = inputs(task)
    with torch.no_grad():
        return (
            agent.act(seen),
            *agent.get_values(seen, action),
            *agent.get_outputs(seen, torch.cat([seen, action], 1)),
        )


def test_cycle_3_the_heads_before_keep_their_function_and_the_change_is_proved():
    """CYCLE-3"""
    agent, optimizers = build()
    before = outputs(agent, 0)
    parameters = {name: (id(p), p.detach().clone()) for name, p in agent.named_parameters()}
    record = add_head(agent, optimizers, 1, seed=0, step=70)
    assert (record.step, record.grade) == (70, "PROVED")
    assert "ExtendInputPass" in record.passes[0]
    assert "ExtendOutputPass" in record.passes[-1]
    assert agent.task == 1
    add_head(agent, optimizers, 2, seed=0, step=71)
    for name, parameter in agent.named_parameters():
        identity, old = parameters[name]
        assert id(parameter) == identity
        kept = parameter[tuple(slice(size) for size in old.shape)]
        assert torch.equal(kept, old), name
    for found, wanted in zip(outputs(agent, 0), before, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-7)


def test_cycle_3_the_new_head_is_that_of_a_new_network_and_the_same_in_the_targets():
    """CYCLE-3"""
    agent, optimizers = build((400, 100))
    add_head(agent, optimizers, 1, seed=0, step=0)
    for name in ("actor", "critic1", "critic2"):
        first, last = agent.get_submodule(name)[0], agent.get_submodule(name)[4]
        twin = agent.get_submodule(f"target_{name}")
        for layer, other in ((first, twin[0]), (last, twin[4])):
            weight, _ = layer.used(layer.weight, layer.bias)
            bound = 1 / np.sqrt(weight.shape[1])
            assert 0.9 * bound < float(weight.detach().abs().max()) <= bound
            # Its own as in torch, uniform, and not the zeros with which an input is extended.
            assert float(weight.detach().std()) == pytest.approx(bound / np.sqrt(3), rel=0.15)
            assert torch.equal(weight, other.used(other.weight, other.bias)[0])
        assert torch.equal(last.used(last.weight, last.bias)[1], twin[4].part_of(twin[4].bias))
    assert not torch.equal(
        agent.critic1[0].part_of(agent.critic1[0].weight),
        agent.critic2[0].part_of(agent.critic2[0].weight),
    )


def test_the_agent_then_has_the_sizes_and_bounds_of_its_task():
    agent, optimizers = build()
    for task in (0, 1, 2):
        if task:
            add_head(agent, optimizers, task, seed=0, step=0)
        seen, action = inputs(task)
        act = SIZES[task][1]
        assert agent.act(seen).shape == action.shape
        assert [v.shape for v in agent.get_values(seen, action)] == [(6, 1)] * 2
        assert agent.get_target_value(seen, action).shape == (6, 1)
        np.testing.assert_allclose(agent.to_task(np.ones((1, act))), 2.0 + act)
        np.testing.assert_allclose(agent.to_task(-np.ones((1, act))), 0.0)
        with torch.no_grad():
            assert agent.explore(seen, np.random.default_rng(0)).shape == action.shape
    assert agent.backbone == ("actor.2", "critic1.2", "critic2.2")


def test_moments_are_carried_and_new_ones_are_zero():
    agent, optimizers = build()
    weight = agent.actor[0].weight
    before = optimizers[0].state[weight]["exp_avg"].clone()
    add_head(agent, optimizers, 1, seed=0, step=0)
    after = optimizers[0].state[weight]["exp_avg"]
    assert torch.equal(after[:, :3], before)
    assert before.any()
    assert not after[:, 3:].any()


def test_a_seed_fixes_the_head_and_torch_s_generator_is_left_alone():
    state = torch.get_rng_state()
    weights = []
    for seed in (1, 1, 2):
        agent, optimizers = build()
        torch.set_rng_state(state)
        add_head(agent, optimizers, 1, seed=seed, step=0)
        assert torch.equal(torch.get_rng_state(), state)
        weights.append(agent.actor[0].weight[:, 3:].detach().clone())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_an_agent_with_all_heads_is_saved_and_loaded_with_its_lineage(tmp_path):
    agent, optimizers = build()
    for task in (1, 2):
        add_head(agent, optimizers, task, seed=0, step=0)
    morphir.save(agent, tmp_path / "agent.safetensors", optimizer=optimizers)
    again = morphir.load(tmp_path / "agent.safetensors", lambda: build(seed=5)[0])
    for task in (0, 1, 2):
        for a, b in zip(outputs(agent, task), outputs(again, task), strict=True):
            assert torch.equal(a, b)


def test_what_changes_the_backbone_changes_all_heads_along_with_it():
    agent, optimizers = build()
    for task in (1, 2):
        add_head(agent, optimizers, task, seed=0, step=0)
    before = [outputs(agent, task) for task in (0, 1, 2)]
    seen, action = inputs(2)
    result = morphir.transform(
        agent,
        morphir.WiderPass(at=["actor.0", "critic1.2"], width=24),
        optimizer=optimizers,
        example_inputs={
            "act": (seen,),
            "get_values": (seen, action),
            "get_target_value": (seen, action),
        },
        entry_points=("act", "get_values", "get_target_value"),
        inplace=True,
    )
    assert result.report.grade.name == "PROVED"
    assert (agent.actor[0].out_features, agent.critic1[4].in_features) == (24, 24)
    for task in (0, 1, 2):
        for a, b in zip(outputs(agent, task), before[task], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_sparse_backbones_leave_heads_alone():
    agent, optimizers = build()
    add_head(agent, optimizers, 1, seed=0, step=0)
    seen, action = inputs(1)
    heads = copy.deepcopy([agent.actor[0], agent.critic1[4]])
    morphir.transform(
        agent,
        morphir.SparsifyPass(0.3, at=list(agent.backbone)),
        optimizer=optimizers,
        example_inputs={"act": (seen,), "get_values": (seen, action)},
        entry_points=("act", "get_values"),
        inplace=True,
    )
    assert set(morphir.Masks(agent).masks) == {f"{name}.weight" for name in agent.backbone}
    for found, wanted in zip((agent.actor[0], agent.critic1[4]), heads, strict=True):
        assert torch.equal(found.weight, wanted.weight)
    masks = {name: mask.clone() for name, mask in morphir.Masks(agent).masks.items()}
    assert add_head(agent, optimizers, 2, seed=0, step=0).grade == "PROVED"
    assert all(torch.equal(morphir.Masks(agent).masks[name], masks[name]) for name in masks)


def test_cycle_3_what_was_injected_cancels_for_the_new_task_too():
    """CYCLE-3, INJECT-1"""
    agent, optimizers = build()
    seen, action = inputs(0)
    critics = ["critic1", "critic2"]
    inject = morphir.InjectPlasticityPass(
        at=critics, targets={name: f"target_{name}" for name in critics}
    )
    both = torch.cat([seen, action], 1)
    morphir.transform(
        agent,
        inject,
        optimizer=optimizers,
        example_inputs={"get_outputs": (seen, both)},
        entry_points=("get_outputs",),
        inplace=True,
    )
    add_head(agent, optimizers, 1, seed=0, step=0)
    both = torch.cat(inputs(1), 1)
    for name in (*critics, *(f"target_{each}" for each in critics)):
        injected = agent.get_submodule(f"{name}.injected1")
        assert torch.equal(injected.fresh(both), injected.frozen(both))
        assert float(injected.fresh(both).detach().std()) > 0
