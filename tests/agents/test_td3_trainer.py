import numpy as np
import torch

from morphir_agents.td3 import interact, learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer


def _learner(trainer):
    return TD3Learner(trainer.agent, trainer.optimizer, trainer.config.td3)


def _advance(trainer, learner, steps):
    for _ in range(steps):
        interact(trainer)
        learn(trainer, learner)


def test_a_checkpoint_holds_networks_targets_both_optimizers_and_the_buffer(
    tiny_td3_config, tmp_path
):
    config = tiny_td3_config("tiny/Wage-v0", random_steps=0)
    trainer = TD3Trainer.start(config, tmp_path)
    learner = _learner(trainer)
    _advance(trainer, learner, 33)
    trainer.save()

    again = TD3Trainer.start(config, tmp_path)

    assert len(again.replay) == len(trainer.replay) == 33
    names = [name for name, _ in again.agent.named_parameters()]
    assert any(name.startswith("target_critic2") for name in names)
    _advance(trainer, learner, 20)
    _advance(again, _learner(again), 20)
    for name, a, b in zip(names, trainer.agent.parameters(), again.agent.parameters(), strict=True):
        assert torch.equal(a, b), name
    for a, b in zip(trainer.optimizer, again.optimizer, strict=True):
        for group in a.param_groups:
            assert group["fused"]
        moments = [[state["exp_avg_sq"] for state in each.state.values()] for each in (a, b)]
        assert moments[0]
        assert all(torch.equal(x, y) for x, y in zip(*moments, strict=True))
    for key, array in trainer.arrays().items():
        assert np.array_equal(array, again.arrays()[key]), key


def test_starting_afresh_cuts_the_episode_that_was_under_way(tiny_td3_config, tmp_path):
    trainer = TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path)
    interact(trainer)
    seen = trainer.vector.observations[0].copy()
    trainer.save()
    assert not np.array_equal(trainer.vector.observations[0], seen)
    interact(trainer)
    batch = trainer.replay.sample(np.zeros(32))
    assert np.allclose(batch.next_observations[0], seen)
    assert batch.continues[0] == 1


def test_optimizers_hold_the_networks_and_no_target(tiny_td3_config, tmp_path):
    trainer = TD3Trainer.start(tiny_td3_config("tiny/Aim-v0"), tmp_path)
    held = [
        {id(p) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in trainer.optimizer
    ]
    agent = trainer.agent
    assert held[0] == {id(p) for p in agent.actor.parameters()}
    assert held[1] == {id(p) for critic in agent.critics for p in critic.parameters()}
