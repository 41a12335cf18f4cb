"""Examples from seeds."""

from hypothesis import strategies as st

from morphir.testing.drawing import drawn


def test_a_seed_gives_one_example():
    strategy = st.lists(st.integers(0, 9), min_size=3)
    assert drawn(strategy, 5) == drawn(strategy, 5)
    assert len({tuple(drawn(strategy, seed)) for seed in range(9)}) > 6
