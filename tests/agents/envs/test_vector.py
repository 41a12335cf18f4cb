import numpy as np

from morphir_agents.envs import GymConfig, VectorEnv, episode_seed
from tests.agents import tiny


def _make(name="tiny/Echo-v0", count=3):
    tiny.register()
    return VectorEnv(GymConfig(name).make, count)


def test_what_follows_a_restart_depends_on_its_key_only():
    def play(vector, key, steps):
        first = vector.restart(key).copy()
        moves = (np.array([t % 4] * 3) for t in range(steps))
        return np.stack([first, *(vector.step(move).observations.copy() for move in moves)])

    fresh, used = _make(), _make()
    play(used, (9, 9), 7)  # stops in the middle of episodes
    assert np.array_equal(play(fresh, (0, 4), 20), play(used, (0, 4), 20))
    assert not np.array_equal(play(fresh, (0, 5), 20), play(used, (0, 4), 20))


def test_environments_see_different_episodes():
    seeds = {
        episode_seed((0, 1), environment, episode)
        for environment in range(20)
        for episode in range(20)
    }
    assert len(seeds) == 400


def test_finished_episodes_are_counted_once_with_return_and_length():
    vector = _make()
    vector.restart((0,))
    actions, total = np.zeros(3, dtype=np.int64), 0.0
    for _ in range(8):
        total += vector.step(actions).rewards.sum()
    finished = vector.take_finished()
    assert [episode.length for episode in finished] == [4] * 6
    assert sum(episode.episode_return for episode in finished) == total
    assert vector.take_finished() == []


def test_a_cut_hands_out_what_was_seen_last_and_an_end_does_not():
    vector = _make("tiny/Salary-v0", 2)
    vector.restart((0,))
    results = [vector.step(np.zeros(2, dtype=np.int64)) for _ in range(5)]
    assert [r.truncated.tolist() for r in results] == [[False] * 2] * 4 + [[True] * 2]
    assert [i for i, _ in results[-1].finals] == [0, 1]
    ends = _make()
    ends.restart((0,))
    results = [ends.step(np.zeros(3, dtype=np.int64)) for _ in range(4)]
    assert results[-1].terminated.all()
    assert results[-1].finals == []


def test_in_shared_order_the_levels_do_not_depend_on_the_number_of_environments():
    def first_observations(count):
        vector = _make(count=count)
        vector.restart((3,), shared_order=True)
        found = dict(enumerate(vector.observations.copy()))
        following = count
        while len(found) < 8:
            vector.step(np.zeros(count, dtype=np.int64))
            for i, _ in enumerate(vector.take_finished()):
                found[following] = vector.observations[i].copy()
                following += 1
        return np.stack([found[k] for k in range(8)])

    assert np.array_equal(first_observations(2), first_observations(4))
