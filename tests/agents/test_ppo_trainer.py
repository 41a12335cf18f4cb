import numpy as np
import pytest
import torch

from morphir_agents.errors import CheckpointError
from morphir_agents.ppo_trainer import PPOTrainer


def test_a_fresh_run_and_a_restored_one_stand_at_the_same_place(tiny_config, tmp_path):
    trainer = PPOTrainer.start(tiny_config("tiny/Echo-v0"), tmp_path)
    trainer.step, trainer.updates, trainer.grown = 2048, 8, 1
    trainer.rewards.moments.update(np.arange(10.0))
    trainer.save()
    drawn, shown = trainer.generator.random(5), trainer.vector.observations.copy()

    again = PPOTrainer.start(tiny_config("tiny/Echo-v0"), tmp_path)

    assert (again.step, again.updates, again.grown) == (2048, 8, 1)
    assert again.rewards.moments.mean == trainer.rewards.moments.mean
    assert np.array_equal(again.generator.random(5), drawn)
    assert np.array_equal(again.vector.observations, shown)
    for a, b in zip(trainer.agent.parameters(), again.agent.parameters(), strict=True):
        assert torch.equal(a, b)


def test_randomness_differs_between_grid_points_and_seeds(tiny_config, tmp_path):
    drawn = set()
    for seed, step in ((0, 0), (0, 2048), (1, 0)):
        trainer = PPOTrainer.start(
            tiny_config("tiny/Echo-v0", seed=seed), tmp_path / f"{seed}-{step}"
        )
        trainer.step = step
        trainer.save()
        drawn.add(float(trainer.generator.random()))
    assert len(drawn) == 3


def test_a_checkpoint_of_another_network_is_refused(tiny_config, tmp_path):
    from dataclasses import replace

    from morphir_agents.networks import NetworkConfig

    config = tiny_config("tiny/Echo-v0")
    PPOTrainer.start(config, tmp_path).save()
    with pytest.raises(CheckpointError, match="can't be read"):
        PPOTrainer.start(replace(config, network=NetworkConfig(width=32)), tmp_path)
