import numpy as np
import pytest

from morphir_agents.normalise import RewardScale, RunningMoments


def test_merged_batches_have_the_moments_of_all_data():
    generator = np.random.default_rng(0)
    data = generator.normal(5.0, 3.0, (1000, 4)) * np.array([1.0, 10.0, 0.1, 1e3])
    moments = RunningMoments((4,))
    for batch in np.split(data, [1, 10, 400]):
        moments.update(batch)
    np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, data.var(0), rtol=1e-5)


def test_state_continues_to_the_bit():
    generator = np.random.default_rng(1)
    first, second = RunningMoments((2,)), RunningMoments((2,))
    first.update(generator.normal(size=(50, 2)))
    second.load(first.state())
    batch = generator.normal(size=(30, 2))
    first.update(batch)
    second.update(batch)
    assert np.array_equal(first.mean, second.mean)
    assert np.array_equal(first.variance, second.variance)


def test_rewards_are_divided_by_the_spread_of_the_discounted_return():
    generator = np.random.default_rng(2)
    scale = RewardScale(environments=2, discount=0.5)
    rewards = generator.normal(0.0, 100.0, (400, 2))
    ended = generator.random((400, 2)) < 0.1

    scaled = scale.scale(rewards, ended)

    returns, running = [], np.zeros(2)
    for reward, end in zip(rewards, ended, strict=True):
        running = 0.5 * running + reward
        returns.append(running.copy())
        running[end] = 0.0
    np.testing.assert_allclose(scaled, np.clip(rewards / np.std(returns), -10, 10), rtol=1e-3)


def test_restart_forgets_unfinished_episodes():
    scale = RewardScale(environments=1, discount=0.9)
    scale.scale(np.ones((3, 1)), np.zeros((3, 1), bool))
    assert scale.running[0] == pytest.approx(1 + 0.9 + 0.81)
    scale.restart()
    assert scale.running[0] == 0.0
