"""What was done to a model, as data."""

import copy
import json
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir.errors import StorageError
from morphir.ir import AttributeChange, AxisMap, Mapped, Removal, Renumbering
from morphir.ir.change import tensors_to_json
from morphir.lineage import (
    Lineage,
    NumbersStep,
    RemovalStep,
    ResizeStep,
    Step,
    lineage_of,
    lineages_in,
    set_lineage,
    structure_of,
)
from tests.ir.changes import axes
from tests.passes.widenings import mlp
from tests.specimens import Net

STEP = Step(
    1, "a", "a_deeper1", False, "DEEPER-1", {"kind": "identity"}, ("a.weight",), "s", "b", "c"
)
WIDER = Mapped(2, AxisMap.copies(2, (0, 1, 1)), "copy")
MASKED = NumbersStep(
    1, "the model", "MASK-7", {"density": 0.5}, ("0.weight", "2.weight"), "c", "a", "b"
)
RESIZED = ResizeStep(
    1, "a", "WIDER-1", tensors_to_json({"a.weight": (WIDER, Mapped(3))}), (("a", "heads", 2, 3),),
    {"init": "copy"}, False, (("b.weight", "b.bias", (0.0, 0.5, 0.0)),), "s", "b", "c",
)  # fmt: skip


def grown() -> nn.Module:
    return morphir.apply(Net(), morphir.DeeperPass(at="extractor.1", block="residual"))


specs = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())
steps = st.builds(
    Step,
    application=st.integers(1, 9),
    anchor=st.text(),
    name=st.text(),
    inside=st.booleans(),
    law=st.text(),
    spec=specs,
    follows=st.lists(st.text()).map(tuple),
    structure=st.text(),
    before=st.text(),
    after=st.text(),
)


resizes = st.builds(
    ResizeStep,
    application=st.integers(1, 9),
    at=st.text(),
    law=st.text(),
    changes=st.dictionaries(st.text(), st.lists(axes(), max_size=2).map(tuple)).map(
        tensors_to_json
    ),
    attributes=st.lists(st.tuples(st.text(), st.text(), st.integers(), st.integers())).map(tuple),
    spec=specs,
    inverse=st.booleans(),
    folds=st.lists(
        st.tuples(st.text(), st.text(), st.lists(st.floats(-2, 2), max_size=3).map(tuple)),
        max_size=2,
    ).map(tuple),
    structure=st.text(),
    before=st.text(),
    after=st.text(),
)


removals = st.builds(
    RemovalStep,
    application=st.integers(1, 9),
    anchor=st.text(),
    name=st.text(),
    inside=st.booleans(),
    law=st.text(),
    structure=st.text(),
    before=st.text(),
    after=st.text(),
)


@given(st.lists(steps | resizes | removals).map(lambda found: Lineage(tuple(found))))
def test_state_3_the_json_form_comes_back_equal(lineage):
    """STATE-3"""
    again = Lineage.from_json(lineage.to_json())
    assert again == lineage
    assert again.hash == lineage.hash


def test_state_3_a_real_lineage_comes_back_equal():
    """STATE-3"""
    lineage = lineage_of(grown())
    assert Lineage.from_json(lineage.to_json()) == lineage
    (step,) = lineage.steps
    assert step.name == "extractor.1_deeper1"
    assert step.structure == structure_of(Net())


def test_it_counts_applications_and_reads_like_a_list():
    model = grown()
    model = morphir.apply(
        model,
        [morphir.DeeperPass(at="extractor.3"), morphir.DeeperPass(at="extractor.1")],
        inplace=True,
    )
    lineage = lineage_of(model)
    assert [step.application for step in lineage.steps] == [1, 2, 2]
    assert str(lineage).splitlines() == [
        "1.  extractor.1_deeper1 after extractor.1: residual block of 8 (DEEPER-3)",
        "2.  extractor.3_deeper1 after extractor.3: identity block of 8 (DEEPER-1)",
        "    extractor.1_deeper2 after extractor.1: identity block of 8 (DEEPER-1)",
    ]
    assert str(Lineage()) == "untouched"
    assert lineage.steps[1].structure == lineage.steps[2].structure != lineage.steps[0].structure


def test_a_change_of_sizes_is_a_step_too():
    """STATE-3: as data, it is the edit that was made"""
    lineage = lineage_of(morphir.apply(Net(), morphir.WiderPass(at="extractor.0", width=12)))
    assert Lineage.from_json(lineage.to_json()) == lineage
    (step,) = lineage.steps
    assert {*step.edit.tensors} == {"extractor.0.weight", "extractor.0.bias", "extractor.2.weight"}
    assert str(lineage) == "1.  extractor.0: 8 to 12 units in 3 tensors (WIDER-1)"
    assert RESIZED.edit.tensors == {"a.weight": (WIDER, Mapped(3))}
    assert RESIZED.edit.attributes == [AttributeChange("a", "heads", 2, 3)]


def test_a_removal_is_a_step_too():
    """STATE-3: as data, it is the edit that was made"""
    lineage = lineage_of(morphir.apply(grown(), morphir.ShallowerPass()))
    assert Lineage.from_json(lineage.to_json()) == lineage
    assert lineage.steps[1].edit.name == "extractor.1_deeper1"
    assert lineage.steps[1].structure == structure_of(grown())
    assert str(lineage).splitlines()[1] == (
        "2.  extractor.1_deeper1 after extractor.1: removed (SHALLOWER-1)"
    )


def test_a_change_of_masks_is_a_step_too():
    """STATE-3: which numbers are in use is not part of it"""
    lineage = Lineage((MASKED,))
    assert Lineage.from_json(lineage.to_json()) == lineage
    assert str(lineage) == "1.  the model: other numbers or masks (MASK-7)"
    found = lineage_of(
        morphir.apply(mlp(), morphir.SparsifyPass(0.5), example_inputs=(torch.randn(2, 4),))
    )
    assert Lineage.from_json(found.to_json()) == found
    (step,) = found.steps
    assert step.spec["density"] == 0.5
    assert len(found.to_json()) < 2000


NUMBERS = Renumbering("the model", "MASK-8", {}, {"seed": 0})
FIRST = Renumbering("0", "MASK-7", {"0.weight": torch.ones(1)}, {}, first=("0.weight",))
REMOVED = Removal("a", "a_deeper1", "SHALLOWER-1", inside=False)


@pytest.mark.parametrize(
    ("edits", "laws"),
    [
        ([NUMBERS] * 50, ["MASK-8"]),
        ([FIRST, *[NUMBERS] * 50], ["MASK-7", "MASK-8"]),
        ([NUMBERS, FIRST, NUMBERS, NUMBERS], ["MASK-8", "MASK-7", "MASK-8"]),
        ([NUMBERS, REMOVED, NUMBERS, NUMBERS], ["MASK-8", "SHALLOWER-1", "MASK-8"]),
        ([NUMBERS, FIRST], ["MASK-8", "MASK-7"]),
        ([FIRST, FIRST], ["MASK-7", "MASK-7"]),
    ],
)
def test_state_21_of_numbers_in_a_row_the_last_are_kept(edits, laws: list[str]):
    """STATE-21: applications are counted as if there had been no others"""
    lineage = Lineage()
    for number, edit in enumerate(edits):
        lineage = lineage.extended([edit], "s", str(number), str(number + 1))
    assert [step.law for step in lineage.steps] == laws
    assert [step.application for step in lineage.steps] == [*range(1, len(laws) + 1)]
    assert lineage.steps[-1].after == str(len(edits))
    assert [step.law for step in lineage.replayed] == [law for law in laws if law != "MASK-8"]
    assert Lineage.from_json(lineage.to_json()) == lineage


def test_lineages_without_kinds_are_read():
    """Those of version 1 have insertions only."""
    data = json.loads(Lineage((STEP,)).to_json())
    del data["steps"][0]["kind"]
    assert Lineage.from_json(json.dumps({**data, "version": 1})) == Lineage((STEP,))


def test_it_travels_with_the_model_and_not_with_the_state_dict():
    model = grown()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert lineage_of(twin) == lineage_of(model)
    assert not [key for key in model.state_dict() if "lineage" in key]
    set_lineage(model, Lineage())
    assert lineage_of(model) == Lineage()
    assert lineages_in(model) == {}


def test_lineages_of_parts_are_found():
    whole = nn.ModuleDict({"policy": grown(), "value": Net()})
    assert {*lineages_in(whole)} == {"policy"}
    assert {*lineages_in(whole["policy"])} == {""}


def test_the_structure_is_names_and_shapes():
    net = Net()
    assert structure_of(net) == structure_of(Net())
    assert structure_of(net.to(torch.bfloat16)) == structure_of(Net())
    assert structure_of(Net(9)) != structure_of(Net())
    net.extra = nn.Parameter(torch.zeros(1))
    assert structure_of(net) != structure_of(Net())


def broken(**changes) -> str:
    data = json.loads(Lineage((STEP,)).to_json())
    data["steps"][0].update(changes)
    return json.dumps(data)


def masked(**changes) -> str:
    data = json.loads(Lineage((MASKED,)).to_json())
    data["steps"][0].update(changes)
    return json.dumps(data)


def no_change(**changes) -> str:
    data = json.loads(Lineage((RESIZED,)).to_json())
    data["steps"][0].update(changes)
    return json.dumps(data)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a lineage"),
        ("[]", "not a lineage"),
        ("{}", "not a lineage"),
        ('{"version": "1", "steps": []}', "not a lineage"),
        ('{"version": 1, "steps": [{}]}', "not a lineage: a step has the fields"),
        ('{"version": 1, "steps": [3]}', "not a lineage"),
        ('{"version": 6, "steps": []}', "the lineage has version 6, this morphir reads up to 5"),
        (masked(parameters="abc"), "parameters is 'abc', expected list"),
        (masked(spec=1), "spec is 1, expected dict"),
        (broken(kind="swap"), "a step is of kind 'swap', expected one of"),
        (broken(kind="resize"), "a step has the fields"),
        (no_change(changes={}), "not a change of axes"),
        (no_change(changes={"maps": [], "tensors": {"a": [{"copy": 0}]}}), "not a change of axes"),
        (no_change(attributes=[["a"]]), "not a change of axes"),
        (broken(anchor=3), "anchor is 3, expected str"),
        (broken(follows="abc"), "follows is 'abc', expected list"),
        (broken(more=1), "a step has the fields"),
    ],
)
def test_what_is_no_lineage_is_one_clear_error(text, message):
    with pytest.raises(StorageError, match=message):
        Lineage.from_json(text)
    assert Lineage.from_json(broken()) == Lineage((STEP,))


def test_an_injection_is_a_step_too():
    """STATE-3: as data, it is the edit that was made"""
    net = mlp()
    lineage = lineage_of(morphir.apply(net, morphir.InjectPlasticityPass(at="")))
    assert Lineage.from_json(lineage.to_json()) == lineage
    (step,) = lineage.steps
    names = [name for name, _ in net.named_parameters()]
    assert [*step.edit.freezes] == names
    assert step.edit.heirs == {f"injected1.fresh.{name}": name for name in names}
    assert str(lineage) == f"1.  injected1 beside the model: {len(names)} parameters (INJECT-1)"


@pytest.mark.parametrize("change", [{"heirs": []}, {"freezes": "a"}, {"anchor": 1}, {"more": 1}])
def test_what_is_no_injection_is_one_clear_error(change):
    step = {"kind": "inject", "application": 1, "anchor": "a", "name": "a.injected1",
            "law": "INJECT-1", "spec": {}, "freezes": [], "heirs": {}, "structure": "",
            "before": "", "after": ""}  # fmt: skip
    assert Lineage.from_json(json.dumps({"version": 5, "steps": [step]})).steps
    with pytest.raises(StorageError, match="not a lineage"):
        Lineage.from_json(json.dumps({"version": 5, "steps": [{**step, **change}]}))
