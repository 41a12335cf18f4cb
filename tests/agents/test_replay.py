import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.errors import ConfigError
from morphir_agents.replay import Replay

OBSERVATION, ACTION = 3, 2

# Each step of a history: does the episode end in a terminal state, is it cut, or does it go on?
histories = st.lists(
    st.sampled_from(["on", "on", "on", "terminal", "cut"]), min_size=1, max_size=60
)
draws = st.lists(st.floats(0.0, 1.0, exclude_max=True), min_size=4, max_size=4).map(np.array)


def play(replay, history, first=0):
    """Adds transitions whose numbers are all different; returns them as rows, oldest first."""
    added = []
    seen = 100.0 * first + np.arange(OBSERVATION)
    for number, what in enumerate(history, start=first):
        action, after = -number - np.arange(1, 1 + ACTION) / 4, 100.0 * (number + 1)
        following = after + np.arange(OBSERVATION)
        replay.add(seen, action, number / 8, what == "terminal", following)
        added.append(np.r_[seen, action, number / 8, what != "terminal", following])
        if what == "cut":
            replay.cut()
        seen = following if what == "on" else following + 50
    return np.array(added)


def rows_of(history):
    """The row of each transition: one further on for every cut before it."""
    cuts = np.cumsum([what == "cut" for what in history]) - [what == "cut" for what in history]
    return np.arange(len(history)) + cuts


def sampled(replay, where, share=1.0):
    """The sampled transitions as rows of `play`."""
    batch = replay.sample(where, share)
    parts = (
        batch.observations, batch.actions, batch.rewards, batch.continues, batch.next_observations
    )  # fmt: skip
    return torch.cat(parts, dim=1).numpy().astype(float)


def everything(replay):
    """All transitions that are held, oldest first."""
    where = (np.arange(len(replay)) + 0.5) / len(replay)
    return np.concatenate([sampled(replay, np.full(4, each))[:1] for each in where])


def make(capacity=200, batch=4):
    return Replay(capacity, OBSERVATION, ACTION, batch)


@given(histories, st.integers(2, 70))
def test_replay_1_and_3_what_is_held_is_what_was_added_the_newest_of_it(history, capacity):
    replay = make(capacity)
    added = play(replay, history)
    held = everything(replay)
    # REPLAY-1. What follows a terminal state is never read, so it is not compared.
    expected = added[len(added) - len(held) :].copy()
    ended = expected[:, OBSERVATION + ACTION + 1] == 0
    held[ended, -OBSERVATION:] = expected[ended, -OBSERVATION:] = 0
    np.testing.assert_array_equal(held, expected)
    # REPLAY-3.
    rows = rows_of(history)
    assert len(replay) >= (rows > rows[-1] - (capacity - 1)).sum()
    assert len(replay) <= capacity


@given(histories, draws, st.floats(0.01, 1.0))
def test_replay_2_a_draw_picks_a_transition_by_its_age_from_the_oldest_part(history, where, share):
    replay = make()
    added = play(replay, history)
    among = max(1, int(np.floor(share * len(added))))
    expected = added[np.floor(where * among).astype(int)]
    columns = slice(0, OBSERVATION + ACTION + 2)
    np.testing.assert_array_equal(sampled(replay, where, share)[:, columns], expected[:, columns])


def test_replay_2_all_transitions_are_drawn_equally_often_and_a_quarter_is_the_oldest_quarter():
    replay = make(batch=4000)
    play(replay, ["on", "cut", "terminal", "on"] * 10)
    generator = np.random.default_rng(0)
    rewards = (8 * replay.sample(generator.random(4000)).rewards).flatten().int()
    assert torch.bincount(rewards, minlength=40).min() > 60  # expected: 100 each
    rewards = (8 * replay.sample(generator.random(4000), share=0.25).rewards).flatten().int()
    assert rewards.unique().tolist() == list(range(10))


@given(histories, histories, draws, st.integers(2, 70))
def test_replay_4_a_restored_buffer_goes_on_as_the_one_that_was_saved(before, after, where, size):
    replay, restored = make(size), make(size)
    play(replay, before)
    replay.cut()
    restored.load({key: array.copy() for key, array in replay.state().items()})
    for each in (replay, restored):
        play(each, after, first=len(before))
    np.testing.assert_array_equal(sampled(replay, where), sampled(restored, where))
    np.testing.assert_array_equal(everything(replay), everything(restored))


def test_cutting_twice_or_at_the_very_beginning_changes_nothing():
    once, twice = make(7), make(7)
    twice.cut()
    for replay, cuts in ((once, 1), (twice, 2)):
        play(replay, ["on"] * 3)
        for _ in range(cuts):
            replay.cut()
        play(replay, ["on"] * 2, first=3)
    assert len(once) == len(twice) == 5
    np.testing.assert_array_equal(everything(once), everything(twice))


def test_an_observation_is_stored_once():
    replay = make(capacity=1000)
    play(replay, ["on"] * 1000)
    assert replay.state()["rows"].size <= 1001 * (OBSERVATION + ACTION + 2)


def test_room_for_the_next_action_lies_behind_the_next_observation():
    replay = make()
    play(replay, ["on"] * 5)
    batch = replay.sample(np.array([0.0, 0.3, 0.5, 0.9]))
    batch.next_actions.copy_(torch.arange(8.0).view(4, 2))
    joined = torch.cat([batch.next_observations, batch.next_actions], dim=1)
    assert torch.equal(batch.next_inputs, joined)
    assert torch.equal(batch.inputs, torch.cat([batch.observations, batch.actions], dim=1))
    again = replay.sample(np.array([0.5, 0.5, 0.5, 0.5]))  # what was written there is not kept
    assert torch.equal(again.actions[0], torch.tensor([-2.25, -2.5]))


def test_a_buffer_that_could_hold_no_transition_is_refused():
    with pytest.raises(ConfigError, match="has 1 rows; expected at least 2"):
        make(1)
