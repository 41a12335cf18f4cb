"""MASK-6: the densities of layers, against published figures and by their definition."""

from math import prod

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from morphir.passes.densities import densities

# Observation and action sizes: densities of the actor and of a critic of two hidden layers of 256
# at a quarter of the weights, as the released code of Neuroplastic Expansion has them.
TASKS = {
    "HalfCheetah": (17, 6, (1.00, 0.180, 1.00), (1.00, 0.183, 1.00)),
    "Hopper": (11, 3, (1.00, 0.206, 1.00), (1.00, 0.209, 1.00)),
    "Ant-v4": (27, 8, (0.746, 0.179, 1.00), (0.854, 0.163, 1.00)),
    "Ant-v3": (111, 8, (0.330, 0.210, 1.00), (0.323, 0.195, 1.00)),
    "Humanoid": (376, 17, (0.230, 0.278, 1.00), (0.213, 0.254, 1.00)),
}


@pytest.mark.parametrize("task", TASKS)
def test_mask_6_the_five_tasks_have_the_densities_of_the_released_code(task: str):
    """MASK-6"""
    observation, action, critic, actor = TASKS[task]
    one = {"in": (256, observation + action), "hidden": (256, 256), "out": (1, 256)}
    both = {f"{name} {number}": shape for number in (1, 2) for name, shape in one.items()}
    found = densities(both, 0.25)
    assert tuple(found[f"{name} 1"] for name in one) == pytest.approx(critic, abs=6e-4)
    assert found["in 1"] == found["in 2"]
    net = {"in": (256, observation), "hidden": (256, 256), "out": (action, 256)}
    assert tuple(densities(net, 0.25).values()) == pytest.approx(actor, abs=6e-4)


shapes = st.lists(
    st.lists(st.integers(1, 40), min_size=2, max_size=4).map(tuple), min_size=1, max_size=6
).map(lambda found: {str(index): shape for index, shape in enumerate(found)})


@given(shapes, st.floats(0.01, 1))
def test_mask_6_together_they_have_the_density_and_what_is_not_dense_is_in_proportion(given, share):
    """MASK-6"""
    found = densities(given, share)
    assert all(0 < each <= 1 for each in found.values())
    total = sum(map(prod, given.values()))
    assert sum(found[n] * prod(s) for n, s in given.items()) == pytest.approx(share * total)
    scale = {n: found[n] * prod(s) / sum(s) for n, s in given.items() if found[n] < 1 - 1e-9}
    if scale:
        largest = max(scale.values())
        assert min(scale.values()) == pytest.approx(largest)
        for name, shape in given.items():  # a dense one would have more than all
            assert found[name] < 1 or largest * sum(shape) / prod(shape) >= 1 - 1e-9


@given(shapes, st.floats(0.01, 1), st.data())
def test_mask_6_layers_that_stay_dense_count(given, share, data):
    """MASK-6"""
    dense = data.draw(st.sets(st.sampled_from([*given])))
    total, kept = sum(map(prod, given.values())), sum(prod(given[name]) for name in dense)
    assume(abs(share * total - kept) > 1e-6)
    if share * total < kept:
        with pytest.raises(ValueError, match=f"{kept} weights are in dense layers"):
            densities(given, share, dense=dense)
        return
    found = densities(given, share, dense=dense)
    assert all(found[name] == 1 for name in dense)
    if len(dense) < len(given):
        assert sum(found[n] * prod(s) for n, s in given.items()) == pytest.approx(share * total)


def test_mask_6_uniform_densities_are_the_same():
    """MASK-6"""
    given = {"a": (3, 4), "b": (5, 5, 3, 3), "c": (2, 2)}
    assert densities(given, 0.3, "uniform") == {"a": 0.3, "b": 0.3, "c": 0.3}
    assert densities(given, 0.3, "uniform", dense=["a"]) == {"a": 1.0, "b": 0.3, "c": 0.3}
