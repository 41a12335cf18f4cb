import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from morphir.randomness import (
    derive_seed,
    forked_random_state,
    host_has_drawn,
    kept_random_state,
    seed_random_state,
)


def draw() -> list[float]:
    return [float(torch.rand(())), float(np.random.rand()), random.random()]


def test_the_same_seed_gives_the_same_numbers_and_the_old_state_comes_back():
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = [draw(), draw()]
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    first = draw()
    with forked_random_state(7):
        inside = draw()
    with forked_random_state(7):
        assert draw() == inside
    with forked_random_state(8):
        assert draw() != inside
    assert [first, draw()] == expected


def test_the_old_state_comes_back_when_the_block_raises():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]

    def fail() -> None:
        with forked_random_state(0):
            draw()
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]


def test_forks_nest():
    with forked_random_state(1):
        first = draw()
        with forked_random_state(1):
            assert draw() == first
        second = draw()
    with forked_random_state(1):
        assert [draw(), draw()] == [first, second]


def test_one_that_is_kept_may_be_seeded_many_times():
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    with kept_random_state():
        seed_random_state(3)
        first = draw()
        seed_random_state(3)
        assert draw() == first
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert np.random.get_state()[1].tolist() == before[2]  # type: ignore[index]
    with forked_random_state(3):
        assert draw() == first


@pytest.mark.parametrize(
    "draw_one",
    [random.random, np.random.rand, np.random.randn, lambda: random.gauss(0, 1), np.random.seed],
)
def test_draws_of_python_and_numpy_are_noticed(draw_one):
    with kept_random_state():
        seed_random_state(5)
        torch.rand(3)
        assert not host_has_drawn(5)
        seed_random_state(5)
        draw_one()
        assert host_has_drawn(5)


def test_a_derived_seed_depends_on_everything_and_is_the_same_in_every_process():
    seeds = {
        derive_seed(seed, name, number)
        for seed in (0, 1)
        for name in ("a", "b.c")
        for number in (0, 1)
    }
    assert len(seeds) == 8
    assert all(0 <= seed < 2**32 for seed in seeds)
    code = "from morphir.randomness import derive_seed; print(derive_seed(3, 'net.1', 2))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert int(found) == derive_seed(3, "net.1", 2)
