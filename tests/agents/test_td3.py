import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from morphir_agents.envs import VectorEnv
from morphir_agents.errors import ConfigError
from morphir_agents.evaluate import evaluate
from morphir_agents.observer import Observer, Silent
from morphir_agents.recipes import RECIPES
from morphir_agents.td3 import TD3Config, interact, train
from morphir_agents.td3_trainer import TD3Trainer


class Notes(Observer):
    """Keeps everything it is told, and stops after a number of checkpoints."""

    def __init__(self, stop_after=None):
        self.updates, self.evaluations, self.saves = [], [], []
        self._stop_after = stop_after

    @property
    def stops(self):
        return self._stop_after is not None and len(self.saves) >= self._stop_after

    def updated(self, step, update, episodes, losses, agent):
        self.updates.append((step, update, tuple(episodes), tuple(losses.items())))

    def evaluated(self, step, outcome):
        self.evaluations.append((step, outcome))

    def saved(self, step):
        self.saves.append(step)


def _fingerprint(trained):
    digest = hashlib.sha256()
    for name, tensor in trained.agent.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    for optimizer in trained.optimizer:
        for state in optimizer.state.values():
            for key, value in sorted(state.items()):
                digest.update(key.encode() + torch.as_tensor(value).numpy().tobytes())
    return digest.hexdigest()


def _judge(config, trained, episodes):
    vector = VectorEnv(config.env.make, 10)
    return evaluate(trained.agent, vector, trained.encoding, episodes, (99,), deterministic=True)


def test_learns_to_aim(tiny_td3_config, tmp_path):
    config = tiny_td3_config("tiny/Aim-v0", total_steps=2_000, discount=0.0)
    trained = train(config, tmp_path, Silent())
    assert _judge(config, trained, 200).mean_return > -0.05  # doing nothing earns -0.33


def test_a_time_limit_is_not_an_end(tiny_td3_config, tmp_path):
    """The wage's value is exactly 2; if a cut counted as an end, it would be near 1.6."""
    config = tiny_td3_config("tiny/Wage-v0", total_steps=3_000, discount=0.5, tau=0.05)
    agent = train(config, tmp_path, Silent()).agent
    with torch.no_grad():
        for value in agent.get_values(torch.ones(1, 1), torch.zeros(1, 1)):
            assert value.item() == pytest.approx(2.0, abs=0.05)


def test_the_same_seed_gives_the_same_run_to_the_bit(tiny_td3_config, tmp_path):
    runs = []
    for number, seed in enumerate((3, 3, 4)):
        notes = Notes()
        config = tiny_td3_config("tiny/Aim-v0", seed=seed)
        trained = train(config, tmp_path / str(number), notes)
        runs.append((_fingerprint(trained), notes.updates, notes.evaluations))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("stop_after", [1, 2])
@pytest.mark.parametrize("task", ["tiny/Aim-v0", "tiny/Wage-v0"])
def test_ckpt_1_a_run_stopped_and_resumed_equals_one_that_was_not(
    tiny_td3_config, tmp_path, stop_after, task
):
    # The buffer has come round several times, and updates stand at odd numbers at checkpoints.
    config = tiny_td3_config(task, random_steps=101, replay=90, policy_delay=3, log_every=1)
    whole, first, second = Notes(), Notes(stop_after), Notes()
    expected = train(config, tmp_path / "whole", whole)

    stopped = train(config, tmp_path / "parts", first)
    assert (stopped.finished, stopped.step) == (False, 200 * stop_after)
    resumed = train(config, tmp_path / "parts", second)

    assert resumed.finished
    assert _fingerprint(resumed) == _fingerprint(expected)
    assert first.updates + second.updates == whole.updates
    assert first.evaluations + second.evaluations == whole.evaluations


def test_learning_begins_after_the_random_steps_with_one_update_per_step(tiny_td3_config, tmp_path):
    notes = Notes()
    train(tiny_td3_config("tiny/Aim-v0", random_steps=250, total_steps=450), tmp_path, notes)
    assert [(step, update) for step, update, _, _ in notes.updates] == [
        (100, 0),
        (200, 0),
        (300, 50),
        (400, 150),
        (450, 200),
    ]
    losses = [dict(losses) for *_, losses in notes.updates]
    assert losses[0] == losses[1] == {}
    assert all(set(each) >= {"critic_loss", "actor_loss", "actor/dormant"} for each in losses[2:])
    assert sum(len(episodes) for _, _, episodes, _ in notes.updates) == 450 // 4
    assert {outcome.policy for _, outcome in notes.evaluations} == {"deterministic"}


def test_random_actions_are_uniform_and_later_ones_the_policy_s(tiny_td3_config, tmp_path):
    config = tiny_td3_config("tiny/Aim-v0", random_steps=500, exploration_noise=0.0)
    trainer = TD3Trainer.start(config, tmp_path)
    for _ in range(500):
        interact(trainer)
    actions = [
        trainer.replay.sample(np.full(32, (k + 0.5) / 500)).actions[0].item() for k in range(500)
    ]
    assert np.histogram(actions, bins=5, range=(-1, 1))[0].min() > 70  # expected: 100 each
    seen = torch.tensor(trainer.vector.observations, dtype=torch.float32)
    interact(trainer)
    newest = trainer.replay.sample(np.full(32, 1 - 1e-9)).actions[0]
    assert torch.equal(newest, trainer.agent.actor(seen)[0])


@pytest.mark.slow
def test_the_recipe_swings_the_pendulum_up(tmp_path):
    config = RECIPES["td3-pendulum"].config
    trained = train(config, tmp_path, Silent())
    # Hanging still earns about -1,200, and six seeds ended between -186 and -114.
    assert _judge(config, trained, 50).mean_return > -400


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch": 0}, "batch is 0; expected at least 1"),
        ({"policy_delay": 0}, "policy_delay is 0"),
        ({"target_noise": -0.1}, "target_noise is -0.1; expected 0 or more"),
        ({"tau": 1.5}, "tau is 1.5; expected between 0 and 1"),
        ({"learning_rate": 0.0}, "more than 0"),
        ({"replay": 1}, "replay is 1; expected at least 2"),
    ],
)
def test_impossible_settings_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        replace(TD3Config(), **arguments)
