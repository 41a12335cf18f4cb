import pytest
import torch

from morphir_agents.moments import bring_back, put_away
from morphir_agents.new_head import add_head
from tests.agents.test_new_head import build, inputs


def step(agent, optimizers, task, times=3):
    for _ in range(times):
        seen, action = inputs(task)
        values = sum(v.square().sum() for v in agent.get_values(seen, action))
        (values + agent.actor(seen).square().sum()).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def heads(agent, task):
    agent.select(task)
    return {
        f"{name}.{own}": layer.part_of(layer.get_parameter(own)).detach().clone()
        for name, layer in agent.named_modules()
        if hasattr(layer, "own")
        for own in layer.own
    }


def state_of(agent, optimizers, name):
    parameter = agent.get_parameter(name)
    return next(each.state[parameter] for each in optimizers if parameter in each.state)


@pytest.fixture
def two():
    """An agent that has learned a task and then met another, with what was put away."""
    agent, optimizers = build()
    step(agent, optimizers, 0)
    kept = put_away(agent, optimizers)
    add_head(agent, optimizers, 1, seed=0, step=0)
    return agent, optimizers, kept


def test_cycle_4_heads_that_are_not_in_use_do_not_move_a_bit(two):
    """CYCLE-4"""
    agent, optimizers, kept = two
    before = heads(agent, 0)
    agent.select(1)
    bring_back(agent, optimizers, {})
    step(agent, optimizers, 1, times=20)
    after = heads(agent, 0)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert any(entry.any() for entry in kept.values())


def test_cycle_4_moments_and_counts_come_back_with_their_task(two):
    """CYCLE-4"""
    agent, optimizers, kept = two
    assert set(kept) == {
        f"{network}.{own}.{entry}"
        for network in ("actor", "critic1", "critic2")
        for own in ("0.weight", "4.weight", "4.bias")
        for entry in ("exp_avg", "exp_avg_sq", "step")
    }
    assert {float(entry) for name, entry in kept.items() if name.endswith("step")} == {4.0}
    step(agent, optimizers, 1, times=5)
    # The count of a new head begins at 0, that of the backbone goes on.
    assert float(state_of(agent, optimizers, "actor.0.weight")["step"]) == 5
    assert float(state_of(agent, optimizers, "actor.0.bias")["step"]) == 9
    assert float(state_of(agent, optimizers, "actor.2.weight")["step"]) == 9

    put_away(agent, optimizers)
    agent.select(0)
    bring_back(agent, optimizers, kept)
    for name, entry in put_away(agent, optimizers).items():
        assert torch.equal(entry, kept[name]), name


def test_a_new_head_takes_the_first_steps_of_a_new_optimizer(two):
    agent, optimizers, _ = two
    before = heads(agent, 1)
    agent.select(1)
    step(agent, optimizers, 1, times=1)
    moved = heads(agent, 1)["actor.4.weight"] - before["actor.4.weight"]
    # Adam's first step is the learning rate in each direction, 0.001; with the count of the task
    # before it would be another.
    assert float(moved.abs().max()) == pytest.approx(1e-3, rel=1e-2)


def test_before_anything_was_learned_there_is_nothing_to_put_away():
    agent, optimizers = build()
    fresh = [torch.optim.Adam([*agent.actor.parameters()], fused=True)]
    assert put_away(agent, fresh) == {}
    bring_back(agent, fresh, {})
    assert optimizers[0].state
