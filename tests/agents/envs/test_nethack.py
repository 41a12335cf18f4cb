import numpy as np
import pytest

pytest.importorskip("minihack")

from morphir_agents.envs import nethack
from morphir_agents.envs.nethack import SlimRoom, StockRoom, slim_is_supported
from morphir_agents.errors import ConfigError

VARIANTS = {
    "plain": ({}, 3000),
    "haunted": ({"size": 15, "n_monster": 3, "n_trap": 15}, 1500),
    "dark": ({"lit": False}, 800),
    "fixed": ({"size": 5, "random": False}, 800),
}


def _make(cls, variant, key):
    options = {"size": 10, "max_episode_steps": 100, **variant}
    return cls(
        observation_keys=(key,), obs_crop_h=19, obs_crop_w=19, fix_moon_phase=True, **options
    )


@pytest.mark.parametrize("key", ["chars_crop", "chars"])
@pytest.mark.parametrize("name", VARIANTS)
def test_slim_1_transitions_are_those_of_stock_minihack(name, key):
    """Everything that step and reset return, the quit screen included, and what came before it."""
    variant, steps = VARIANTS[name]
    stock, slim = _make(StockRoom, variant, key), _make(SlimRoom, variant, key)
    generator = np.random.default_rng(7)
    episodes, ends = 0, set()

    def begin():
        nonlocal episodes
        episodes += 1
        for env in (stock, slim):
            env.seed(episodes, 2 * episodes, reseed=False)
        (a, info_a), (b, info_b) = stock.reset(), slim.reset()
        assert np.array_equal(a[key], b[key])
        assert info_a == info_b

    begin()
    for _ in range(steps):
        action = int(generator.integers(8))
        a, b = stock.step(action), slim.step(action)
        assert np.array_equal(a[0][key], b[0][key])
        assert a[1:] == b[1:]  # reward, done, truncated, info with end_status
        if a[2]:
            if a[4]["end_status"] != 1:  # a death ends the game without a quit
                seen = [env.observation_before_quit[key] for env in (stock, slim)]
                assert np.array_equal(*seen)
                assert (seen[0] != ord(" ")).any()
            ends.add(int(a[4]["end_status"]))
            begin()
    stock.close()
    slim.close()
    assert episodes >= 8
    assert {-1, 2} <= ends  # time limits and successes were both compared


def test_stock_shows_a_blank_screen_at_the_time_limit_which_is_why_the_room_remembers():
    env = _make(StockRoom, {"max_episode_steps": 3}, "chars_crop")
    env.seed(1, 1, reseed=False)
    env.reset()
    *_, (last, _, done, truncated, _) = (env.step(0) for _ in range(3))
    assert (done, truncated) == (True, False)
    assert (last["chars_crop"] <= ord(" ")).all()
    assert (env.observation_before_quit["chars_crop"] == ord(">")).any()
    env.close()


def test_slim_is_supported_by_the_tested_nle():
    assert slim_is_supported()


def test_another_nle_is_noticed(monkeypatch):
    class Other:
        def __init__(self):
            self.something = 1

    monkeypatch.setattr(nethack, "NLE", Other)
    assert not slim_is_supported()


def test_slim_refuses_observations_it_does_not_have():
    with pytest.raises(ConfigError, match="slim=False"):
        SlimRoom(observation_keys=("glyphs",))
