import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from morphir_agents.encoding import Symbols
from morphir_agents.envs import RoomConfig
from morphir_agents.errors import ConfigError, MissingExtraError

pytest.importorskip("minihack")

HAUNTED = RoomConfig(size=8, monsters=2, traps=4)
GOLDEN = "45b4e7819e7e5e9d835cb2a28c27c2a584cebd9dd7c2c866fcd957accf52bad5"

FINGERPRINT = """
import hashlib, sys, time
import numpy as np
from morphir_agents.envs import RoomConfig

env = RoomConfig(size=8, monsters=2, traps=4).make()
generator, digest = np.random.default_rng(0), hashlib.sha256()
for seed in range(12):
    observation, _ = env.reset(seed=seed)
    digest.update(observation.tobytes())
    for _ in range(40):
        observation, reward, terminated, truncated, _ = env.step(generator.integers(8))
        digest.update(observation.tobytes() + repr((reward, terminated, truncated)).encode())
        if terminated or truncated:
            break
print(time.strftime("%Y-%m-%d"), digest.hexdigest())
"""

CLOCK = """
#include <sys/time.h>
#include <time.h>
#include <stdlib.h>
static long set(void) { return atol(getenv("PRETEND_TIME")); }
time_t time(time_t *out) { if (out) *out = set(); return set(); }
int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    out->tv_sec = set();
    out->tv_usec = 0;
    return 0;
}
"""


def _levels(config, seeds):
    env = config.make()
    levels = [env.reset(seed=seed)[0] for seed in seeds]
    env.close()
    return np.stack(levels)


def test_a_seed_fixes_the_level_whatever_came_before():
    seeds = [3, 1, 2, 3]
    first, second = _levels(RoomConfig(), seeds), _levels(RoomConfig(), seeds)
    assert np.array_equal(first, second)
    assert np.array_equal(first[0], first[3])
    assert len({level.tobytes() for level in first}) == 3


def test_without_a_seed_the_last_seed_s_sequence_goes_on():
    env = RoomConfig().make()
    first = [env.reset(seed=9)[0], env.reset()[0], env.reset()[0]]
    second = [env.reset(seed=9)[0], env.reset()[0], env.reset()[0]]
    env.close()
    assert np.array_equal(first, second)
    assert not np.array_equal(first[0], first[1])


def test_a_seed_fixes_monsters_and_traps_along_the_way():
    """Twelve haunted levels with 40 random steps each: any unseeded draw of NetHack would show."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", FINGERPRINT], check=True, capture_output=True, text=True
        )
        for _ in range(2)
    ]
    assert runs[0].stdout.split()[1] == runs[1].stdout.split()[1]


def test_levels_do_not_depend_on_the_day(tmp_path):
    """The same program under pretended clocks; without `fix_moon_phase` the full moon differs."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("pretending another day needs a C compiler and LD_PRELOAD")
    source, library = tmp_path / "clock.c", tmp_path / "clock.so"
    source.write_text(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)

    days = {
        "full moon": 1706205600,
        "new moon": 1704974400,
        "friday 13th": 1697198400,
        "midnight": 1700006400,
    }
    outputs = {}
    for day, stamp in days.items():
        environment = {**os.environ, "LD_PRELOAD": str(library), "PRETEND_TIME": str(stamp)}
        run = subprocess.run(
            [sys.executable, "-c", FINGERPRINT],
            check=True,
            capture_output=True,
            text=True,
            env=environment,
        )
        outputs[day] = run.stdout.split()
    assert len({date for date, _ in outputs.values()}) == len(days)  # the clock really was another
    assert len({digest for _, digest in outputs.values()}) == 1


def test_known_levels_are_generated_on_any_day():
    """Recorded once: whenever this runs, the levels must be these (nle 1.3.0, minihack 1.0.2)."""
    levels = _levels(HAUNTED, range(20))
    digest = hashlib.sha256(levels.tobytes()).hexdigest()
    assert digest == GOLDEN, (
        "NetHack made other levels; if nle or minihack was changed, record the new digest"
    )


def test_the_time_limit_is_a_truncation_that_still_shows_the_room():
    for slim in (True, False):
        env = RoomConfig(size=5, random=False, max_episode_steps=5, slim=slim).make()
        env.reset(seed=0)
        *_, (observation, _, terminated, truncated, info) = (env.step(0) for _ in range(5))
        env.close()
        assert (terminated, truncated, info["is_success"]) == (False, True, False)
        assert (observation == ord(">")).sum() == 1


def test_reaching_the_stairs_is_a_success_worth_one():
    env = RoomConfig(size=5, random=False).make()
    env.reset(seed=0)
    south_east = next(i for i, action in enumerate(env.game.actions) if action.name == "SE")
    *_, (_, reward, terminated, truncated, info) = (env.step(south_east) for _ in range(4))
    env.close()
    assert (reward, terminated, truncated, info["is_success"]) == (1.0, True, False, True)


def test_a_wall_costs_a_hundredth():
    env = RoomConfig(size=5, random=False).make()
    env.reset(seed=0)
    north = next(i for i, action in enumerate(env.game.actions) if action.name == "N")
    assert env.step(north)[1] == pytest.approx(-0.01)
    env.close()


@pytest.mark.parametrize("size", [2, 10, 21])
def test_any_size_is_seen_whole(size):
    env = RoomConfig(size=size, view="map").make()
    observation, _ = env.reset(seed=0)
    env.close()
    assert observation.shape == (21, 79)
    assert (observation != ord(" ")).sum() == size * size


def test_the_crop_has_the_agent_in_its_middle():
    levels = _levels(RoomConfig(crop=9), range(5))
    assert levels.shape == (5, 9, 9)
    assert (levels[:, 4, 4] == ord("@")).all()


def test_a_dark_room_shows_only_the_neighbours():
    lit, dark = (_levels(RoomConfig(lit=lit), range(3)) for lit in (True, False))
    assert (dark > ord(" ")).sum() < 0.25 * (lit > ord(" ")).sum()


def test_the_encoding_has_planes_for_what_the_room_holds():
    assert RoomConfig(crop=5).encoding().shape == (5 * 5 * 2,)
    assert RoomConfig(crop=5, traps=1).encoding().shape == (5 * 5 * 3,)
    assert RoomConfig(crop=5, traps=1, monsters=1).encoding().shape == (5 * 5 * 4,)
    assert isinstance(RoomConfig(view="map").encoding(), Symbols)


def test_without_slim_support_the_stock_room_is_used(monkeypatch):
    from morphir_agents.envs import nethack

    monkeypatch.setattr(nethack, "slim_is_supported", lambda: False)
    env = RoomConfig().make()
    assert type(env.game) is nethack.StockRoom
    env.close()


def test_a_missing_minihack_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "morphir_agents.envs.nethack", raising=False)
    monkeypatch.setitem(sys.modules, "minihack.envs.room", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'morphir\[agents\]'"):
        RoomConfig().make()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("size", 1, "2 to 21"),
        ("size", 22, "2 to 21"),
        ("crop", 4, "odd"),
        ("monsters", -1, "negative"),
        ("max_episode_steps", 0, "at least 1"),
    ],
)
def test_impossible_rooms_are_refused_at_once(field, value, message):
    with pytest.raises(ConfigError, match=message):
        replace(RoomConfig(), **{field: value})
