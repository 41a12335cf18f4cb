"""NE-3: how much is grown, and that masks stay within bounds whatever the schedule."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.amounts import Amount
from morphir_agents.errors import ConfigError

SHAPES = ("constant", "cosine", "warm_decay")


def test_ne_3_the_shapes_are_those_of_the_formulas():
    """NE-3"""
    assert [Amount("constant", 0.2, 100).share(t) for t in (0, 50, 99, 100, 300)] == [
        0.2, 0.2, 0.2, 0.0, 0.0,
    ]  # fmt: skip
    cosine = Amount("cosine", 0.2, 100)
    assert cosine.share(0) == 0.2
    assert cosine.share(50) == pytest.approx(0.1)
    assert cosine.share(25) == pytest.approx(0.1 * (1 + math.sqrt(0.5)))
    assert cosine.share(100) == 0
    warm = Amount("warm_decay", 0.2, 120, 20)
    assert warm.share(0) == 0
    assert warm.share(5) == pytest.approx(0.05)
    assert warm.share(20) == 0.2
    assert [warm.share(20 + t) for t in range(0, 101, 10)] == pytest.approx(
        [cosine.share(t) for t in range(0, 101, 10)]
    )


@given(
    st.sampled_from(SHAPES), st.floats(0, 1), st.integers(1, 10**7), st.integers(0, 10**7),
    st.integers(0, 10**6), st.data(),
)  # fmt: skip
def test_ne_3_a_count_is_a_share_of_what_is_unused(shape, rate, end, step, unused, data):
    """NE-3"""
    amount = Amount(shape, rate, end, data.draw(st.integers(0, end - 1)))
    assert 0 <= amount.share(step) <= rate
    assert 0 <= amount.count(unused, step) <= rate * unused
    assert amount.count(unused, end) == 0


def test_ne_3_ten_thousand_random_schedules_stay_within_bounds():
    """NE-3: growing and pruning by any of them leaves between no weight and all of them in use"""
    draw = random.Random(0)
    for _ in range(10_000):
        end = draw.randrange(2, 5_000)
        amount = Amount(draw.choice(SHAPES), draw.random(), end, draw.randrange(end))
        size = draw.randrange(1, 5_000)
        used, omega = draw.randrange(size + 1), draw.random()
        for step in range(0, end, max(1, end // draw.randrange(1, 12))):
            grown = amount.count(size - used, step)
            pruned = min(used, int(omega * grown))
            used += grown - pruned
            assert 0 <= used <= size


@pytest.mark.parametrize("options", [{"rate": -0.1}, {"rate": 1.1}, {"warm": 5, "end": 5}])
def test_what_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError, match="expected"):
        Amount(**options)
