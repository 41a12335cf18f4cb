"""COMPARE-1 to COMPARE-4, on literal numbers and against literal computations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.comparison.statistics import (
    area,
    figures,
    final_return,
    interquartile_mean,
    interval,
)

numbers = st.floats(-1e3, 1e3)


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 3.0], 3.0),
        ([0.0] * 9 + [5.0], 5.0),
        ([0.0] * 9 + [4.0, 6.0], 5.0),  # a tenth of 11, rounded up
        ([0.0] * 27 + [1.0, 2.0, 6.0], 3.0),
    ],
)
def test_compare_1_the_final_return_is_the_mean_of_the_last_tenth(returns, expected):
    """COMPARE-1"""
    assert final_return(returns) == expected


@pytest.mark.parametrize(
    ("steps", "returns", "expected"),
    [
        ((100,), (3.0,), 3.0),
        ((0, 100), (0.0, 10.0), 5.0),
        ((100, 200, 400), (0.0, 6.0, 6.0), (3.0 * 100 + 6.0 * 200) / 300),
    ],
)
def test_compare_2_the_area_is_the_mean_of_the_line_through_the_evaluations(
    steps, returns, expected
):
    """COMPARE-2"""
    assert area(steps, returns) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([4.0], 4.0),
        ([1.0, 9.0], 5.0),
        ([1.0, 2.0, 9.0], 4.0),
        ([100.0, 1.0, 3.0, -50.0], 2.0),
        ([5.0, 1.0, 2.0, 3.0, 100.0], 10.0 / 3.0),
        ([8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0], 4.5),
    ],
)
def test_compare_3_the_interquartile_mean_of_literal_numbers(values, expected):
    """COMPARE-3"""
    assert interquartile_mean(np.array(values)) == pytest.approx(expected)


@given(st.lists(numbers, min_size=1, max_size=13))
def test_compare_3_it_is_the_mean_of_the_sorted_middle(values):
    """COMPARE-3"""
    cut = len(values) // 4
    middle = sorted(values)[cut : len(values) - cut]
    expected = sum(middle) / len(middle)
    assert interquartile_mean(np.array(values)) == pytest.approx(expected, abs=1e-9)


def test_compare_4_the_interval_is_that_of_all_samples_with_replacement():
    """COMPARE-4: of 4 numbers all 256 samples can be listed"""
    values = [3.0, 10.0, 4.0, 40.0]
    every = [sorted(sample)[1:3] for sample in itertools.product(values, repeat=4)]
    low, high = np.percentile([sum(pair) / 2 for pair in every], [2.5, 97.5])
    found = interval(np.array(values))
    assert (float(found[0]), float(found[1])) == (low, high) == (3.0, 40.0)


def test_compare_4_seeds_are_drawn_together_for_each_step_on_its_own():
    """COMPARE-4"""
    values = np.random.default_rng(0).normal(size=(6, 3))
    low, high = interval(values)
    for step in range(3):
        alone = interval(values[:, step])
        assert low[step] == pytest.approx(float(alone[0]), abs=0.1)
        assert high[step] == pytest.approx(float(alone[1]), abs=0.1)


def test_compare_4_it_is_the_same_every_time_and_none_of_fewer_than_three():
    """COMPARE-4"""
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    assert figures(values) == figures(values)
    assert figures(values).interval is not None
    assert figures(values[:3]).interval == (1.0, 4.0)
    assert figures(values[:2]).interval is None
    assert (figures(values[:2]).median, figures(values[:2]).iqm) == (1.5, 1.5)
    assert figures([2.0, 2.0, 2.0]).interval == (2.0, 2.0)
