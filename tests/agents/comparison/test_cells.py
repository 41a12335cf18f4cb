"""COMPARE-5"""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.comparison.cells import shown, sort_into_cells
from morphir_agents.comparison.runs import ComparedRun, Curve, fields_of, find_runs
from morphir_agents.envs import GymConfig
from morphir_agents.errors import ComparisonError
from morphir_agents.recipes import RECIPES
from tests.agents.comparison.written import NARROW, PENDULUM, write_seeds

CHEETAH = RECIPES["td3-halfcheetah"].config


def run_of(config, folder="run"):
    curve = Curve((config.last_step,), (0.0,))
    return ComparedRun(
        folder, fields_of(config), config.env.title, config.last_step, curve, metrics=()
    )


def with_seeds(config, *seeds):
    return [run_of(replace(config, seed=seed)) for seed in seeds]


def contents(cells):
    return [(cell.label, [run.seed for run in cell.runs]) for cell in cells]


def test_compare_5_seeds_of_one_configuration_share_a_cell(tmp_path):
    """COMPARE-5: and other configurations have their own, as found on disk"""
    write_seeds(tmp_path, "a", PENDULUM, [[1.0]] * 3)
    write_seeds(tmp_path, "b", NARROW, [[1.0]] * 2)
    cells = sort_into_cells(find_runs([tmp_path]))
    assert contents(cells) == [
        ("network.widths 64 64", [0, 1, 2]),
        ("network.widths 32", [0, 1]),
    ]
    assert cells[1].settings == {"network.widths": [32]}


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 2), st.integers(0, 9)), min_size=1))
def test_compare_5_cells_are_the_classes_of_equal_settings(draws):
    """COMPARE-5"""
    unique = list(dict.fromkeys(draws))
    configs = [
        replace(PENDULUM, td3=replace(PENDULUM.td3, batch=1 + a), threads=b, seed=seed)
        for a, b, seed in unique
    ]
    cells = sort_into_cells([run_of(config) for config in configs])
    found = sorted(
        sorted((r.fields["td3.batch"] - 1, r.fields["threads"], r.seed) for r in cell.runs)
        for cell in cells
    )
    key = lambda draw: draw[:2]  # noqa: E731
    classes = itertools.groupby(sorted(unique), key)
    assert found == [list(members) for _, members in classes]
    assert not any(cell.pooled for cell in cells)


def test_compare_5_what_recipes_differ_in_anyway_is_not_named():
    """COMPARE-5"""
    cheetah = replace(CHEETAH, env=PENDULUM.env)
    cells = sort_into_cells([*with_seeds(PENDULUM, 1, 0), *with_seeds(cheetah, 0)])
    assert contents(cells) == [("td3-pendulum", [0, 1]), ("td3-halfcheetah", [0])]
    cells = sort_into_cells([*with_seeds(NARROW, 0), *with_seeds(PENDULUM, 0), run_of(cheetah)])
    assert [cell.label for cell in cells] == [
        "td3-pendulum, network.widths 32",
        "td3-pendulum, network.widths 64 64",
        "td3-halfcheetah, network.widths 256 256",
    ]


def test_compare_5_a_chosen_field_decides_alone_and_what_is_pooled_is_known():
    """COMPARE-5"""
    odd = replace(NARROW, threads=2)
    runs = [*with_seeds(PENDULUM, 0), *with_seeds(NARROW, 0), *with_seeds(odd, 1)]
    cells = sort_into_cells(runs, ["network.widths"])
    assert contents(cells) == [("network.widths 64 64", [0]), ("network.widths 32", [0, 1])]
    assert [cell.pooled for cell in cells] == [[], ["threads"]]
    assert contents(sort_into_cells(runs, ["name"])) == [("name td3-pendulum", [0, 0, 1])]


def test_fields_may_be_written_as_on_the_command_line():
    runs = [run_of(PENDULUM), run_of(replace(PENDULUM, td3=replace(PENDULUM.td3, policy_delay=3)))]
    labels = [cell.label for cell in sort_into_cells(runs, ["td3.policy-delay"])]
    assert labels == ["td3.policy_delay 2", "td3.policy_delay 3"]
    room = RECIPES["grownn-minihack-room"].config
    both = replace(room, growth=replace(room.growth, kind="both"))
    for by in ([], ["growth"], ["growth.kind"]):
        cells = sort_into_cells([run_of(room), run_of(both)], by)
        assert [cell.label for cell in cells] == ["growth deeper", "growth both"]


def test_different_tasks_need_to_be_told_apart():
    ant = replace(CHEETAH, env=GymConfig("Ant-v5"))
    short = replace(CHEETAH, env=replace(CHEETAH.env, max_episode_steps=100))
    runs = with_seeds(CHEETAH, 0, 1) + with_seeds(ant, 0, 1)
    with pytest.raises(ComparisonError, match=r"HalfCheetah-v5, Ant-v5.*--by env\.id"):
        sort_into_cells(runs)
    with pytest.raises(ComparisonError, match=r"with different settings.*--by env\.max_episode"):
        sort_into_cells(with_seeds(CHEETAH, 0) + with_seeds(short, 0))
    with pytest.raises(ComparisonError, match=r"Add to --by what tells them apart: env\.id"):
        sort_into_cells(runs, ["threads"])
    assert contents(sort_into_cells(runs, ["env.id"])) == [
        ("env.id HalfCheetah-v5", [0, 1]),
        ("env.id Ant-v5", [0, 1]),
    ]


def test_the_same_run_twice_would_count_as_two_seeds():
    twice = [run_of(PENDULUM, "one"), run_of(PENDULUM, "two")]
    with pytest.raises(ComparisonError, match="one and two are the same run, seed 0"):
        sort_into_cells(twice)


def test_an_unknown_field_is_answered_with_near_ones_and_with_those_that_differ():
    runs = [run_of(PENDULUM), run_of(NARROW)]
    with pytest.raises(ComparisonError, match=r"Did you mean network\.widths\?.*network\.widths\."):
        sort_into_cells(runs, ["network.width"])
    with pytest.raises(ComparisonError, match="no such field"):
        sort_into_cells(runs, ["seed"])
    with pytest.raises(ComparisonError, match="nothing but the seed"):
        sort_into_cells(runs[:1], ["colour"])


def test_values_are_shown_as_they_are_typed():
    assert [shown(value) for value in ([64, 64], None, 0.5, True)] == [
        "64 64",
        "None",
        "0.5",
        "True",
    ]
