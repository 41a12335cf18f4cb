import torch

from morphir_agents.td3 import interact, learn, train
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import Notes, run_of


def test_reset_1_after_a_reset_targets_are_equal_and_the_buffer_is_kept(tiny_td3_config, tmp_path):
    """RESET-1"""
    trainer = TD3Trainer.start(run_of(tiny_td3_config, "reset"), tmp_path)
    learner = TD3Learner(trainer.agent, trainer.optimizer, trainer.config.td3)
    for _ in range(60):
        interact(trainer)
    learn(trainer, learner)
    held, agent = len(trainer.replay), trainer.agent
    before = {name: p.detach().clone() for name, p in agent.named_parameters()}
    (event,) = trainer.method.act(trainer, learner)
    assert (event.kind, len(trainer.replay)) == ("reset", held)
    for name in ("actor", "critic1", "critic2"):
        target = agent.get_submodule(f"target_{name}")
        for key, parameter in agent.get_submodule(name).named_parameters():
            assert torch.equal(parameter, target.get_parameter(key))
            assert not torch.equal(parameter, before[f"{name}.{key}"])
    assert not any(state for each in trainer.optimizer for state in each.state.values())


def test_nothing_is_reset_at_the_last_step(tiny_td3_config, tmp_path):
    """The policy that is left would have learned nothing."""
    config = run_of(tiny_td3_config, "reset", random_steps=100, total_steps=340)
    notes = Notes()
    trained = train(config, tmp_path, notes)
    assert [event.update for event in notes.events] == [120]
    assert all(state for each in trained.optimizer for state in each.state.values())
