from dataclasses import replace

import numpy as np
import pytest
import torch

from morphir_agents.cycle import CycleConfig
from morphir_agents.envs import VectorEnv
from morphir_agents.errors import ConfigError
from morphir_agents.evaluate import evaluate
from morphir_agents.observer import Observer, Silent
from morphir_agents.recipes import RECIPES
from morphir_agents.td3 import TD3Config, interact, train
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.fingerprint import fingerprint


class Notes(Observer):
    """Keeps everything it is told, and stops after a number of checkpoints."""

    def __init__(self, stop_after=None):
        self.updates, self.evaluations, self.saves = [], [], []
        self.visits, self.growth = [], []
        self._stop_after = stop_after

    @property
    def stops(self):
        return self._stop_after is not None and len(self.saves) >= self._stop_after

    def enters(self, step, task):
        self.visits.append((step, task))

    def grew(self, record):
        self.growth.append((record.step, record.grade))

    def updated(self, step, update, episodes, losses, agent):
        self.updates.append((step, update, tuple(episodes), tuple(losses.items())))

    def evaluated(self, step, outcome):
        self.evaluations.append((step, outcome))

    def saved(self, step):
        self.saves.append(step)


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
        runs.append((fingerprint(trained), notes.updates, notes.evaluations))
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
    assert fingerprint(resumed) == fingerprint(expected)
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


CYCLE = ("tiny/Aim-v0", "tiny/Reach-v0")


def in_a_cycle(config, **changes):
    """Two tasks of other sizes and bounds, two times, for 150 steps each."""
    return replace(config, cycle=CycleConfig(CYCLE, 2), **changes)


def test_cycle_1_a_run_goes_from_task_to_task(tiny_td3_config, tmp_path):
    """CYCLE-1"""
    notes = Notes()
    config = in_a_cycle(tiny_td3_config("tiny/Wage-v0", random_steps=50), eval_every=150)
    trained = train(config, tmp_path, notes)
    steps = (0, 150, 300, 450)
    assert notes.visits == list(zip(steps, CYCLE * 2, strict=True))
    assert notes.growth == [(150, "PROVED")]
    # At a switch first the task that ends is judged, then that which begins.
    assert [step for step, _ in notes.evaluations] == [150, 150, 300, 300, 450, 450, 600]
    assert trained.agent.task == 1
    assert trained.encoding.shape == (3,)
    # 50 steps of each visit fill the buffer; rows of the log are 100 steps apart.
    assert [update for _, update, *_ in notes.updates] == [50, 100, 200, 250, 300, 400]


def test_a_cycle_learns_all_of_its_tasks(tiny_td3_config, tmp_path):
    config = in_a_cycle(tiny_td3_config("tiny/Aim-v0", total_steps=4_000, discount=0.0))
    trained = train(config, tmp_path, Silent())
    assert trained.finished
    # Doing nothing earns 4 * -0.67 * 4; with noise of 0.1 of half the range -0.3 is what is left.
    judged = [
        evaluate(trained.agent, VectorEnv(task.make, 10), task.encoding(), 200, (9,), True)
        for number, task in enumerate(config.tasks)
        if trained.agent.select(number) is None
    ]
    assert judged[1].mean_return > -1.0
    assert judged[0].mean_return > -0.33  # learned 1,000 steps ago, on a backbone that went on


@pytest.mark.parametrize(("checkpoint_every", "stops"), [(100, (1, 2, 4)), (150, (1, 3))])
def test_ckpt_1_a_cycle_stopped_and_resumed_equals_one_that_was_not(
    tiny_td3_config, tmp_path, checkpoint_every, stops
):
    # Checkpoints every 150 steps are exactly at the switches.
    settings = {"random_steps": 31, "replay": 90, "policy_delay": 3, "log_every": 10}
    config = in_a_cycle(tiny_td3_config(CYCLE[0], **settings), checkpoint_every=checkpoint_every)
    whole = Notes()
    expected = train(config, tmp_path / "whole", whole)
    for stop_after in stops:
        first, second = Notes(stop_after), Notes()
        folder = tmp_path / str(stop_after)
        stopped = train(config, folder, first)
        assert (stopped.finished, stopped.step) == (False, stop_after * checkpoint_every)
        resumed = train(config, folder, second)

        assert resumed.finished
        assert resumed.agent.task == expected.agent.task == 1
        assert fingerprint(resumed) == fingerprint(expected)
        for name in ("updates", "evaluations", "growth"):
            assert getattr(first, name) + getattr(second, name) == getattr(whole, name)


def test_actions_are_random_at_the_first_visit_to_a_task_only(tiny_td3_config, tmp_path):
    config = in_a_cycle(tiny_td3_config(CYCLE[0], random_steps=40, exploration_noise=0.0))
    trainer = TD3Trainer.start(config, tmp_path)
    for visit in range(4):
        trainer.step = 150 * visit
        assert trainer.moves_on(Silent()) == (visit > 0)
        assert (trainer.visit, trainer.task, trainer.age) == (visit, visit % 2, 0)
        assert len(trainer.replay) == 0
        seen = torch.tensor(trainer.vector.observations, dtype=torch.float32)
        interact(trainer)
        action = trainer.replay.sample(np.zeros(32)).actions[0]
        with torch.no_grad():
            policy = trainer.agent.actor(seen)[0]
        assert torch.equal(action, policy) == (visit >= 2)


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
        ({"learning_rate": float("nan")}, "learning_rate is nan; expected more than 0"),
        ({"exploration_noise": float("nan")}, "exploration_noise is nan; expected 0 or more"),
        ({"replay": 1}, "replay is 1; expected at least 2"),
    ],
)
def test_impossible_settings_are_refused_at_once(arguments, message):
    with pytest.raises(ConfigError, match=message):
        replace(TD3Config(), **arguments)
