"""Plasticity Injection: critics begin anew once, with their targets, and the actor does not."""

import pytest
import torch

from morphir_agents.learning_part import learning_part
from morphir_agents.measures import hidden_activations
from morphir_agents.methods import method_of
from morphir_agents.td3 import interact, learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import run_of


@pytest.fixture
def injected(tiny_td3_config, tmp_path):
    """A trainer after 30 updates and an injection, and what its critics said before that."""
    trainer = TD3Trainer.start(run_of(tiny_td3_config, "injection"), tmp_path)
    learner = TD3Learner(trainer.agent, trainer.optimizer, trainer.config.td3)
    for _ in range(40):
        interact(trainer)
    for _ in range(30):
        learn(trainer, learner)
    inputs = torch.randn(20, trainer.agent.critic1[0].in_features)
    names = ("critic1", "critic2", "target_critic1", "target_critic2")
    before = {name: trainer.agent.get_submodule(name)(inputs) for name in names}
    (event,) = method_of(trainer.config).act(trainer, learner)
    yield trainer, event, inputs, before
    trainer.close()


def test_inject_1_critics_and_targets_say_the_same(injected):
    """INJECT-1"""
    trainer, event, inputs, before = injected
    assert (event.kind, event.grade) == ("inject", "PROVED")
    for name, said in before.items():
        assert torch.equal(trainer.agent.get_submodule(name)(inputs), said)


def test_inject_2_fresh_critics_learn_and_the_old_ones_do_not(injected):
    """INJECT-2"""
    trainer, _, _, _ = injected
    agent = trainer.agent
    old = {n: p.clone() for n, p in agent.named_parameters()}
    learner = TD3Learner(agent, trainer.optimizer, trainer.config.td3)
    for _ in range(4):
        learn(trainer, learner)
    moved = {n for n, p in agent.named_parameters() if not torch.equal(p, old[n])}
    assert moved >= {n for n in old if n.startswith("actor.")}
    for critic in ("critic1", "critic2"):
        of_critic = {n for n in moved if n.startswith(critic)}
        assert of_critic == {n for n in old if n.startswith(f"{critic}.injected1.fresh.")}


def test_inject_3_targets_follow_the_copy_that_learns(injected):
    """INJECT-3"""
    trainer = injected[0]
    agent = trainer.agent
    for name in ("critic1", "critic2"):
        fresh, target = (
            learning_part(agent.get_submodule(each)) for each in (name, f"target_{name}")
        )
        assert all(map(torch.equal, fresh.parameters(), target.parameters()))
    learner = TD3Learner(agent, trainer.optimizer, trainer.config.td3)
    for _ in range(4):
        learn(trainer, learner)
    for name in ("critic1", "critic2"):
        fresh, target = (
            learning_part(agent.get_submodule(each))[0].weight for each in (name, f"target_{name}")
        )
        start = agent.get_submodule(name).injected1.frozen[0].weight
        assert not torch.equal(target, start)
        assert (fresh - target).norm() < (fresh - start).norm()


def test_what_learns_is_measured(injected):
    trainer, _, inputs, _ = injected
    critic = trainer.agent.critic1
    found = hidden_activations(critic, inputs)
    assert [*found] == ["1", "3"]
    assert torch.equal(found["1"], torch.relu(critic.injected1.fresh[0](inputs)))
