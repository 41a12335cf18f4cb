"""Every way to ask for a pass is one that some model fits."""

from contextlib import suppress
from dataclasses import replace

import pytest

import morphir
from morphir import RefusalError
from morphir.axes import AxisGroups
from morphir.testing import Recipe, Site, Step, build, example_inputs
from morphir.testing.fuzzing.requests import REQUESTS

SPARSE = Recipe((Step("linear", number=1), Step("relu")), weights="sparse")
ATTENTION = Recipe((Step("attention", number=1),), "sequence", "random")
SITES = {
    "extend-output": Site("head", 3),
    "widen-heads": Site("attention1.qkv", 12),
    "shallower": Site("relu1.relu1_deeper1", 0),
    "insert": Site("relu1", 0),
}
BEFORE = {
    "merge": morphir.WiderPass("linear1", 11),
    "shallower": morphir.DeeperPass("relu1"),
    "mask-grow": morphir.SparsifyPass(0.5),
    "mask-prune": morphir.SparsifyPass(0.5),
}
OTHER_FUNCTION = ("sparsify", "mask-grow", "reset")  # which change it, or may


@pytest.mark.parametrize("name", REQUESTS)
def test_every_request_is_applied_somewhere(name: str):
    recipe = ATTENTION if name == "widen-heads" else SPARSE
    model, given = build(recipe), example_inputs(recipe)
    if name in BEFORE:
        model = morphir.apply(model, BEFORE[name], example_inputs=given)
    site, grades = SITES.get(name, Site("linear1", 8)), set()
    for number in range(4):
        pass_ = REQUESTS[name].make(replace(site, seed=number), given)
        assert isinstance(pass_, REQUESTS[name].kind)
        with suppress(RefusalError):
            grades.add(morphir.transform(model, pass_, example_inputs=given).report.grade.name)
    others = {"NOT_PRESERVING"} if name in OTHER_FUNCTION else set()
    assert grades & ({"PROVED", "EMPIRICAL"} | others)
    assert grades <= {"PROVED", "PROVED_ON_BOX", "TESTED", "EMPIRICAL"} | others


def test_where_it_is_mostly_asked():
    groups = AxisGroups(morphir.trace(build(SPARSE)))
    assert REQUESTS["widen"].fits(groups, "linear1")
    assert not REQUESTS["widen"].fits(groups, "head")
    assert REQUESTS["extend-output"].fits(groups, "value_head")
    assert not REQUESTS["widen-heads"].fits(groups, "head")
