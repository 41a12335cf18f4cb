"""Names of groups, and examples that hold."""

import pytest
import torch

import morphir
from morphir import Grade, RefusalError, VerificationError, WiderPass
from morphir.axes import AxisGroups
from morphir.ops.forms import atoms_in
from morphir.show import Census
from morphir.show.census import Dim, free_names
from tests.show.nets import EVERY, IDS, IMAGES, ROWS, ActorCritic, Tied, conv_net


def census_of(name: str) -> tuple[torch.nn.Module, Census]:
    torch.manual_seed(0)
    build, inputs = EVERY[name]
    model = build()
    return model, Census(morphir.trace(model, example_inputs=inputs))


@pytest.mark.parametrize("name", EVERY)
def test_show_1_every_dimension_is_named_by_its_groups(name: str):
    """SHOW-1: as the planner has them, found here by another way: place by place"""
    _, census = census_of(name)
    program = census.program
    rows = {axis.name: axis for axis in census.axes}
    for group in AxisGroups(program).groups.values():
        for place in group.state:
            dim = census.dims(place.tensor, program.state[place.tensor].type)[place.axis]
            named = [
                rows[n] for n in dim.names if f"{place.tensor}[{place.axis}]" in rows[n].places
            ]
            assert len(named) == len(dim.names)
            reasons = {axis.reason for axis in named}
            assert (group.reason.text if group.reason else "") in reasons
            assert len(dim.names) <= len({*atoms_in(place.form)})
    for name, axis in rows.items():
        assert axis.is_free == name.startswith("g")
        for place in axis.places:
            tensor, _, number = place.rpartition("[")
            dims = census.dims(tensor, program.state[tensor].type)
            assert name in dims[int(number.removesuffix("]"))].names


@pytest.mark.parametrize("name", EVERY)
def test_show_2_the_example_of_a_group_is_accepted_and_changes_it(name: str):
    """SHOW-2: PROVED by transform, and the shapes are those of its effects"""
    model, census = census_of(name)
    free = [axis for axis in census.axes if axis.is_free]
    groups = AxisGroups(census.program)
    leaves = [g.atom for g in groups.groups.values() if g.reason is None and g.state]
    for axis, leaf in zip(free, leaves, strict=True):
        if not axis.example:
            assert axis.obstacle
            continue
        wider = eval(axis.example, {"WiderPass": WiderPass})
        assert leaf in wider.maps(groups, [wider.at])
        result = morphir.transform(model, wider, example_inputs=EVERY[name][1])
        assert result.report.grade is Grade.PROVED
        state = result.module.state_dict()
        assert {each.tensor for each in axis.effects} >= {p.rpartition("[")[0] for p in axis.places}
        for effect in axis.effects:
            assert (*state[effect.tensor].shape,) == effect.new
            assert effect.old[effect.axis] < effect.new[effect.axis]


def test_forms_are_written_in_names_of_groups():
    program = morphir.trace(conv_net(), example_inputs=IMAGES)
    census = Census(program)
    shown = [str(dim) for dim in census.dims("4.weight", program.state["4.weight"].type)]
    assert shown == ["5 f3", "128 (g1 4 4) split"]
    shown = [str(dim) for dim in census.dims("0.weight", program.state["0.weight"].type)]
    assert shown == ["8 g1 copy", "3 f1", "3 f2", "3 f2"]
    (_, value) = program.graphs["forward"].outputs[0]
    assert [str(dim) for dim in census.dims(value, value.type)] == ["B", "5"]


def test_a_group_that_no_pass_changes_says_why():
    _, census = census_of("Tied")
    (width,) = [axis for axis in census.axes if "embed.weight[1]" in axis.places]
    assert width.is_free
    assert not width.example
    assert "copied and split at once" in width.obstacle


def test_show_2_heads_and_their_width_have_reasons_of_their_own():
    """SHOW-2: a reason is about the group that it stands beside"""
    _, census = census_of("Fused")
    heads, width = (a for a in census.axes if a.is_free and "qkv.weight[0]" in a.places)
    assert (heads.sizes, width.sizes) == ((2,), (4,))
    assert heads.example == "WiderPass(at='qkv', joint=True, heads=4)"
    assert not width.example
    assert "of reshape would have to be 16" in width.obstacle


def test_show_2_no_example_ends_in_an_error():
    """SHOW-2: of a model of which nothing is proved there is none"""
    model, census = census_of("Views")
    (hidden,) = [axis for axis in census.axes if axis.is_free]
    assert not hidden.example
    assert "was changed through a view of it (nets.py:" in hidden.obstacle
    with pytest.raises(VerificationError, match="TESTED, expected PROVED"):
        morphir.apply(model, WiderPass("first", 7), example_inputs=EVERY["Views"][1])


def test_an_example_gives_the_width_that_it_says():
    """Where several leaves of one axis change together, the width is that of all of them."""
    model = Tied()
    census = Census(morphir.trace(model, example_inputs=IDS))
    for axis in census.axes:
        if axis.example:
            wider = eval(axis.example, {"WiderPass": WiderPass})
            plan = morphir.plan(model, wider, example_inputs=IDS)
            (bias,) = [each for each in plan.tensors if each.name == f"{wider.at}.bias"]
            if wider.width is not None:
                assert bias.new.shape == (wider.width,)


def test_a_module_has_the_names_of_its_output_features():
    census = Census(morphir.trace(ActorCritic(), example_inputs=ROWS))
    (trunk,) = census.names_at("stem")
    assert census.names_at("blocks.*.down") == (trunk,)
    assert len(census.names_at("blocks.*.up")) == 2
    with pytest.raises(RefusalError, match="no module 'stam'") as refused:
        census.names_at("stam")
    assert "at='stem'" in refused.value.suggestions


def test_names_of_free_groups():
    dims = [Dim("8", "g1", ("g1",)), Dim("3", "f1", ("f1",)), Dim("8", "", ("g2", "g1"))]
    assert free_names(dims) == ("g1", "g2")
