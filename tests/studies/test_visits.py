"""Scores of visits, by hand."""

import pytest

from morphir_agents.config import TD3RunConfig
from morphir_agents.cycle import CycleConfig
from morphir_agents.td3 import TD3Config
from studies.visits import Scale, visits_of

CONFIG = TD3RunConfig(cycle=CycleConfig(("A-v0", "B-v0"), 2), td3=TD3Config(total_steps=16))
SCALES = {"A-v0": Scale(-100.0, 0.0), "B-v0": Scale(10.0, 20.0)}


def judged(step, task, value):
    return {"step": step, "task": task, "mean_return": value}


EVALUATIONS = [
    judged(2, "A-v0", -100.0),
    judged(4, "A-v0", 0.0),
    judged(4, "B-v0", 10.0),  # on moving on, before anything is learned
    judged(6, "B-v0", 15.0),
    judged(8, "B-v0", 25.0),
    judged(8, "A-v0", -50.0),
    judged(10, "A-v0", -30.0),
    judged(12, "A-v0", -40.0),
    judged(12, "B-v0", 12.0),
    judged(14, "B-v0", 18.0),
    judged(16, "B-v0", 10.0),
]
LOG = [{"step": step, "x": step} for step in range(1, 17)]


def test_a_visit_has_its_own_evaluations_and_the_one_on_arrival():
    visits = visits_of(CONFIG, EVALUATIONS, LOG, SCALES)
    assert [visit.round for visit in visits] == [0, 0, 1, 1]
    assert [visit.task for visit in visits] == ["A-v0", "B-v0", "A-v0", "B-v0"]
    assert [visit.kept for visit in visits] == [None, 0.0, 0.5, pytest.approx(0.2)]
    expected = [(0.0, 1.0), (0.5, 1.5), (0.7, 0.6), (0.8, 0.0)]
    assert [visit.scores for visit in visits] == [pytest.approx(each) for each in expected]
    assert [visit.steps for visit in visits] == [(2, 4)] * 4
    assert [visit.measures["step"] for visit in visits] == [4, 8, 12, 16]
    assert [visit.end for visit in visits] == pytest.approx([0.5, 1.0, 0.65, 0.4])


def test_a_task_is_learned_when_its_score_is_0_8_or_not_in_the_visit():
    visits = visits_of(CONFIG, EVALUATIONS, LOG, SCALES)
    assert [visit.recovery for visit in visits] == [4, 4, 4, 2]


def test_a_scale_is_from_random_actions_to_the_median_of_the_ends():
    runs = [
        (
            [{"mean_return": value} for value in (-7.0, *ends)],
            [{"episode_return": start}, {"episode_return": 99.0}],
        )
        for start, ends in ((-8.0, (1.0, 2.0, 3.0)), (-12.0, (4.0, 4.0, 4.0)), (-10.0, (9.0,) * 3))
    ]
    scale = Scale.of(runs)
    assert (scale.random, scale.fresh) == (-10.0, 4.0)
    assert scale.score(-3.0) == 0.5
