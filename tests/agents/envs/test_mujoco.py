import sys

import numpy as np
import pytest

from morphir_agents.envs import GymConfig
from morphir_agents.errors import ConfigError, MissingExtraError
from tests.agents import tiny

pytest.importorskip("mujoco")


@pytest.mark.parametrize(
    ("config", "size"),
    [
        (GymConfig("Ant-v5"), 105),
        (GymConfig("Ant-v5", contact_forces=False), 27),
        (GymConfig("Ant-v4"), 27),
        (GymConfig("HalfCheetah-v5"), 17),
        (GymConfig("Hopper-v5"), 11),
        (GymConfig("Walker2d-v5"), 17),
        (GymConfig("Humanoid-v5"), 348),
        (GymConfig("Swimmer-v5"), 8),
        (GymConfig("InvertedPendulum-v5"), 4),
        (GymConfig("InvertedDoublePendulum-v5"), 9),
        (GymConfig("Reacher-v5"), 10),
        (GymConfig("Pusher-v5"), 23),
    ],
)
def test_tasks_have_the_known_observation_sizes_and_step(config, size):
    env = config.make()
    observation, _ = env.reset(seed=0)
    assert observation.shape == (size,) == config.encoding().shape
    observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
    env.close()
    assert np.isfinite(observation).all()
    assert np.isfinite(reward)
    assert (terminated, truncated) == (False, False)


def test_transitions_are_those_of_gymnasium_s_wrapped_task():
    import gymnasium as gym

    ours, theirs = GymConfig("Hopper-v5").make(), gym.make("Hopper-v5")
    generator = np.random.default_rng(0)
    for seed in range(5):
        a, b = ours.reset(seed=seed)[0], theirs.reset(seed=seed)[0]
        done = False
        while not done:
            action = generator.uniform(-1, 1, 3).astype(np.float32)
            x, y = ours.step(action), theirs.step(action)
            assert np.array_equal(a, b)
            assert x[1:4] == y[1:4]
            a, b, done = x[0], y[0], x[2] or x[3]
    ours.close()
    theirs.close()


def test_actions_beyond_the_bounds_are_clipped():
    env = GymConfig("InvertedPendulum-v5").make()
    ends = []
    for action in (3.0, 300.0):
        env.reset(seed=1)
        ends.append(env.step(np.array([action]))[0])
    env.close()
    assert np.array_equal(*ends)


def test_the_time_limit_is_a_truncation():
    tiny.register()
    env = GymConfig("tiny/Salary-v0", max_episode_steps=3).make()
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]


def test_wrong_names_and_switches_say_what_to_do():
    with pytest.raises(ConfigError, match=r"Ant-v99.*Expected a name like"):
        GymConfig("Ant-v99").make()
    with pytest.raises(ConfigError, match="no such switch"):
        GymConfig("Hopper-v5", contact_forces=False).make()
    with pytest.raises(ConfigError, match="expected a vector"):
        GymConfig("Taxi-v3").make()


def test_a_missing_mujoco_names_the_extra(monkeypatch):
    for name in [n for n in sys.modules if n.startswith(("mujoco", "gymnasium.envs.mujoco"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mujoco", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'morphir\[agents\]'"):
        GymConfig("Ant-v5").make()


def test_building_a_task_writes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    GymConfig("HalfCheetah-v5").make().close()
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
