import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.config import TD3RunConfig, from_json, to_json
from morphir_agents.cycle import CycleConfig
from morphir_agents.envs import GymConfig
from morphir_agents.errors import ConfigError
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3NetworkConfig

TASKS = ("A-v0", "B-v0", "C-v0", "D-v0")


@given(st.integers(2, 4), st.integers(1, 4), st.integers(1, 50))
def test_cycle_1_every_task_has_its_turn_for_as_many_steps_in_every_round(tasks, rounds, steps):
    """CYCLE-1"""
    total = tasks * rounds * steps
    config = TD3RunConfig(
        cycle=CycleConfig(TASKS[:tasks], rounds), td3=TD3Config(total_steps=total)
    )
    learned = [config.tasks[config.visit_at(step) % tasks].id for step in range(total)]
    assert learned == [name for name in TASKS[:tasks] for _ in range(steps)] * rounds
    assert config.visit_steps == steps
    assert config.visit_at(total) == config.visit_at(total - 1) == tasks * rounds - 1
    assert config.last_env.id == TASKS[tasks - 1]


def test_a_run_without_a_cycle_is_one_visit():
    config = TD3RunConfig(td3=TD3Config(total_steps=7))
    assert [config.visit_at(step) for step in range(8)] == [0] * 8
    assert config.tasks == (config.env,) == (config.last_env,)
    assert (config.visit_steps, config.cycle.visits, config.cycle.heads) == (7, 1, 1)
    assert config.title == "HalfCheetah-v5"


def test_env_is_the_first_task_and_its_other_settings_are_those_of_all():
    config = TD3RunConfig(
        env=GymConfig("X-v0", max_episode_steps=9),
        cycle=CycleConfig(TASKS[:2], 2),
        td3=TD3Config(total_steps=8),
    )
    assert config.env.id == "A-v0"
    assert [task.max_episode_steps for task in config.tasks] == [9, 9]
    assert config.title == "A-v0 → B-v0, 2 times"
    assert from_json(to_json(config)) == config
    assert isinstance(from_json(to_json(config)).cycle.tasks, tuple)
    again = dataclasses.replace(config, cycle=CycleConfig(TASKS[2:], 2))
    assert again.env.id == "C-v0"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": TASKS[:1]}, "expected two tasks or more"),
        ({"tasks": ("A-v0", "B-v0", "A-v0")}, "none of them twice"),
        ({"tasks": TASKS, "rounds": 0}, "rounds is 0"),
    ],
)
def test_what_is_no_cycle_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        CycleConfig(**settings)


@pytest.mark.parametrize(("total", "instead"), [(25, 24), (11, 12), (35, 24)])
def test_visits_of_unequal_length_are_refused_with_a_length_that_fits(total, instead):
    cycle = CycleConfig(TASKS, 3)
    with pytest.raises(ConfigError, match=f"12 visits; expected .* such as {instead}"):
        TD3RunConfig(cycle=cycle, td3=TD3Config(total_steps=total))
    TD3RunConfig(cycle=cycle, td3=TD3Config(total_steps=instead))


def test_tasks_that_would_share_no_layer_are_refused():
    with pytest.raises(ConfigError, match="Give two widths or more"):
        TD3RunConfig(
            cycle=CycleConfig(TASKS), td3=TD3Config(total_steps=12), network=TD3NetworkConfig((9,))
        )
