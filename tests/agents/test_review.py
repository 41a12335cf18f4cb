"""NE-2: batches come from the oldest quarter where activations have stopped to change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.errors import ConfigError
from morphir_agents.review import Review

ratio = st.floats(0, 1)


@given(ratio, ratio, st.floats(0.001, 1), st.floats(0, 1, exclude_max=True))
def test_ne_2_a_batch_is_a_review_if_the_draw_is_above_the_slope(before, after, threshold, draw):
    """NE-2"""
    review = Review(threshold)
    review.measured(before)
    review.measured(after)
    is_review = draw >= abs(after - before) / threshold
    assert review.share(draw) == (0.25 if is_review else 1.0)


def test_ne_2_nothing_is_reviewed_before_a_slope_is_known():
    """NE-2"""
    review = Review(0.01)
    draws = np.random.default_rng(0).random(100)
    assert {review.share(draw) for draw in draws} == {1.0}
    review.measured(0.5)
    assert {review.share(draw) for draw in draws} == {1.0}
    review.measured(0.5)
    assert {review.share(draw) for draw in draws} == {0.25}


def test_ne_2_the_share_of_reviews_is_one_less_the_slope():
    """NE-2"""
    review = Review(0.1, share=0.5)
    review.measured(0.50)
    review.measured(0.53)
    draws = np.random.default_rng(0).random(20_000)
    reviews = np.mean([review.share(draw) == 0.5 for draw in draws])
    assert reviews == pytest.approx(0.7, abs=0.02)


@pytest.mark.parametrize(
    "options", [{"threshold": 0}, {"threshold": 1, "share": 0}, {"threshold": 1, "share": 2}]
)
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        Review(**options)
