"""Which maps the calls accept."""

import pytest

from morphir.errors import RefusalError
from morphir.ir import AxisMap
from morphir.ir.axis_map import FRESH
from tests.axes.resizing import groups_of


def resize(name: str, **sources: list[int]) -> None:
    """Changes the features of some modules."""
    groups = groups_of(name)
    maps = {}
    for module, source in sources.items():
        atom = groups.of(module)[-1].atom
        maps[atom] = AxisMap.copies(atom.size, source)
    groups.resize(maps)


TEN, TWELVE = [*range(10)], [*range(5), *range(7)]


@pytest.mark.parametrize("source", [TEN * 2, TEN * 3, TEN[::-1]])
def test_plan_9_a_mean_takes_every_unit_equally_often(source: list[int]):
    resize("norms", up=source)


@pytest.mark.parametrize("source", [[*TEN, 0], TEN[1:], [*TEN, FRESH], [*TEN, *TEN, FRESH]])
def test_plan_9_a_mean_takes_nothing_else(source: list[int]):
    with pytest.raises(RefusalError, match="layer_norm wants every unit equally often") as caught:
        resize("norms", up=source)
    assert caught.value.nodes == ("layer",)
    assert "of the 10 that it reads" in caught.value.reason


def test_plan_9_the_parts_of_an_axis_are_judged_together():
    resize("normalised", first=[*range(5)] * 2, second=[*range(7)] * 2)
    with pytest.raises(RefusalError, match="of the 12 that it reads"):
        resize("normalised", first=[*range(5)] * 2)
    with pytest.raises(RefusalError, match="equally often"):
        resize("normalised", first=[*range(5)] * 2, second=[*range(7)] * 3)


def test_plan_9_a_norm_takes_permutations():
    resize("normalised", ball=[1, 2, 3, 0])
    with pytest.raises(RefusalError, match="normalize wants every unit exactly once"):
        resize("normalised", ball=[0, 1, 2, 3, 3])


def test_plan_9_within_groups_units_are_judged_as_within_an_axis():
    resize("norms", stem=[0, 1, 0, 1])
    with pytest.raises(RefusalError, match="group_norm wants every unit equally often"):
        resize("norms", stem=[0, 1, 1])
