from dataclasses import replace

import numpy as np
import pytest
import torch

from morphir_agents.encoding import Vector
from morphir_agents.envs import GymConfig, VectorEnv
from morphir_agents.errors import ConfigError
from morphir_agents.evaluate import evaluate
from morphir_agents.growth import GrowthConfig
from morphir_agents.networks import NetworkConfig, build_agent
from morphir_agents.observer import Observer, Silent
from morphir_agents.ppo import PPOConfig, Rollout, collect, train
from tests.agents import tiny
from tests.agents.fingerprint import fingerprint


class Notes(Observer):
    """Keeps everything it is told, and stops after a number of checkpoints."""

    def __init__(self, stop_after=None):
        self.updates, self.growth, self.evaluations, self.saves = [], [], [], []
        self._stop_after = stop_after

    @property
    def stops(self):
        return self._stop_after is not None and len(self.saves) >= self._stop_after

    def updated(self, step, update, episodes, losses, agent):
        self.updates.append(
            (step, update, tuple(episodes), tuple(losses.values()), agent.hidden_layers)
        )

    def grew(self, record):
        self.growth.append((record.step, record.layers_after, record.grade))

    def evaluated(self, step, outcome):
        self.evaluations.append((step, outcome))

    def saved(self, step):
        self.saves.append(step)


def _judge(config, trained, episodes=200):
    vector = VectorEnv(config.env.make, 4)
    return evaluate(trained.agent, vector, trained.encoding, episodes, (99,), deterministic=True)


def test_learns_to_name_what_it_sees(tiny_config, tmp_path):
    config = tiny_config("tiny/Echo-v0", total_steps=12_288)
    trained = train(config, tmp_path, Silent())
    assert _judge(config, trained).mean_return == 4.0  # every one of 800 answers


def test_learns_to_aim(tiny_config, tmp_path):
    config = tiny_config("tiny/Aim-v0", total_steps=24_576, final_learning_rate=0.0)
    trained = train(config, tmp_path, Silent())
    assert _judge(config, trained).mean_return > -0.02  # doing nothing earns -0.33


@pytest.mark.parametrize("name", ["tiny/Echo-v0", "tiny/Aim-v0"])
def test_learns_with_normalised_observations_and_rewards_while_it_grows(
    tiny_config, tmp_path, name
):
    config = tiny_config(name, total_steps=24_576, normalise_rewards=True, final_learning_rate=0.0)
    config = replace(
        config,
        env=replace(config.env, normalise_observations=True),
        growth=GrowthConfig(depths=(2, 3)),
    )
    notes = Notes()
    trained = train(config, tmp_path, notes)
    assert [(step, layers, grade) for step, layers, grade in notes.growth] == [
        (8192, 2, "PROVED"),
        (16384, 3, "PROVED"),
    ]
    assert trained.agent.hidden_layers == 3
    found = _judge(config, trained).mean_return
    assert found == 4.0 if name == "tiny/Echo-v0" else found > -0.03


def test_a_time_limit_is_not_an_end(tiny_config, tmp_path):
    """The salary's value is exactly 2; if a cut counted as an end, it would be near 1.6."""
    config = tiny_config(
        "tiny/Salary-v0", total_steps=16_384, discount=0.5, final_learning_rate=0.0
    )
    trained = train(config, tmp_path, Silent())
    assert trained.agent.get_value(torch.ones(1, 1)).item() == pytest.approx(2.0, abs=0.02)


def test_the_same_seed_gives_the_same_run_to_the_bit(tiny_config, tmp_path):
    runs = []
    for number, seed in enumerate((3, 3, 4)):
        config = replace(
            tiny_config("tiny/Echo-v0", seed=seed, total_steps=4096),
            growth=GrowthConfig(depths=(2,)),
        )
        notes = Notes()
        trained = train(config, tmp_path / str(number), notes)
        runs.append((fingerprint(trained), notes.updates, notes.evaluations))
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


@pytest.mark.parametrize("stop_after", [1, 2])
@pytest.mark.parametrize("kind", ["deeper", "wider", "both"])
def test_ckpt_1_a_run_stopped_and_resumed_equals_one_that_was_not(
    tiny_config, tmp_path, stop_after, kind
):
    config = tiny_config("tiny/Aim-v0", total_steps=8192, normalise_rewards=True)
    config = replace(
        config,
        env=replace(config.env, normalise_observations=True),
        growth=GrowthConfig(kind, depths=(2, 3), steps=(2048, 5000)),
    )
    whole, first, second = Notes(), Notes(stop_after), Notes()
    expected = train(config, tmp_path / "whole", whole)

    stopped = train(config, tmp_path / "parts", first)
    assert (stopped.finished, stopped.step) == (False, 2048 * stop_after)
    resumed = train(config, tmp_path / "parts", second)

    assert resumed.finished
    assert fingerprint(resumed) == fingerprint(expected)
    assert first.updates + second.updates == whole.updates
    assert first.growth + second.growth == whole.growth
    assert first.evaluations + second.evaluations == whole.evaluations


def test_grow_1_each_event_of_a_schedule_happens_once_at_its_step(tiny_config, tmp_path):
    import morphir

    notes = Notes()
    schedule = [
        (0, morphir.DeeperPass(at="trunk.1")),
        (1024, [morphir.DeeperPass(at="trunk.1")] * 2),
    ]
    config = tiny_config("tiny/Echo-v0", total_steps=2048)
    trained = train(config, tmp_path, notes, schedule)
    assert [(step, layers) for step, layers, _ in notes.growth] == [(0, 2), (1024, 4)]
    assert trained.agent.hidden_layers == 4


def test_checkpoints_and_evaluations_lie_on_their_grids(tiny_config, tmp_path):
    notes = Notes()
    train(tiny_config("tiny/Echo-v0", total_steps=9000), tmp_path, notes)
    assert notes.saves == [2048, 4096, 6144, 8192, 9216]
    assert [step for step, _ in notes.evaluations] == [4096, 4096, 8192, 8192, 9216, 9216]


def test_a_rollout_s_log_probabilities_are_the_policy_s():
    tiny.register()
    config = PPOConfig(environments=3, rollout_steps=10, minibatch=5)
    vector, encoding = VectorEnv(GymConfig("tiny/Salary-v0").make, 3), Vector(1, False)
    agent = build_agent(NetworkConfig(width=8), encoding, vector.action_space, 0)
    vector.restart((0,))
    rollout = Rollout(config, vector, encoding)
    episodes = collect(agent, vector, encoding, rollout, np.random.default_rng(0))

    flat = rollout.observations.flatten(0, 1)
    actions = torch.from_numpy(rollout.actions.reshape(-1))
    _, expected, _, values = agent.get_action_and_value(flat, actions)
    np.testing.assert_allclose(rollout.log_probabilities.ravel(), expected.detach(), rtol=1e-5)
    np.testing.assert_allclose(rollout.values.ravel(), values.detach(), rtol=1e-5)
    assert rollout.truncated.sum() == 6 == len(episodes)
    assert (rollout.final_values != 0).sum() == 6  # each cut has its bootstrap
    np.testing.assert_allclose(rollout.final_values[4], rollout.values[4], rtol=1e-5)


def test_the_target_divergence_stops_an_update(tiny_config, tmp_path):
    def divergence(folder, target):
        notes = Notes()
        config = tiny_config("tiny/Echo-v0", total_steps=2048, epochs=20, target_kl=target)
        train(config, tmp_path / folder, notes)
        return max(losses[3] for _, _, _, losses, _ in notes.updates)

    assert divergence("bound", 0.005) < 0.5 * divergence("free", None)


def test_annealed_settings_reach_their_ends():
    config = PPOConfig(total_steps=100, learning_rate=1.0, final_learning_rate=0.0, entropy=0.5)
    assert [config.at("learning_rate", step) for step in (0, 50, 100, 120)] == [1.0, 0.5, 0.0, 0.0]
    assert config.at("entropy", 70) == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"environments": 0}, "environments is 0"),
        ({"minibatch": 10_000}, "larger than a rollout of 8 x 256"),
        ({"discount": 1.5}, "discount is 1.5; expected between 0 and 1"),
        ({"learning_rate": 0.0}, "more than 0"),
    ],
)
def test_impossible_settings_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PPOConfig(**arguments)
