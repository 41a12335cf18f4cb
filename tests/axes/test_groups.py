"""Groups of recorded models, against what the models' own constructors and permutations say."""

import copy
import doctest
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import morphir
from morphir.axes import AxisGroups, Group, Place
from morphir.errors import RefusalError
from morphir.ir.axis_map import AxisMap
from morphir.ops.lift import map_tensor
from morphir.tensors import tensors_in
from tests.axes.nets import BOTH, NETS, Agent, mlp
from tests.axes.resizing import groups_of

Axis = tuple[str, int]


def axes_of(groups: list[Group] | tuple[Group, ...]) -> set[Axis]:
    return {(place.tensor, place.axis) for group in groups for place in group.state}


def changed_axes(make: Callable[..., nn.Module], **widths: int) -> set[Axis]:
    """The axes of the state that another width makes longer; tied parameters count once."""
    before, after = make(), make(**widths)
    named = [*before.named_parameters(), *before.named_buffers()]
    other = after.state_dict()
    return {
        (name, axis)
        for name, tensor in named
        for axis, size in enumerate(tensor.shape)
        if other[name].shape[axis] != size
    }


@pytest.mark.parametrize(
    ("name", "width", "size"),
    [
        ("mlp", "hidden", 7),
        ("residual", "trunk", 7),
        ("residual", "inner", 11),
        ("concatenation", "left", 5),
        ("concatenation", "right", 7),
        ("grouped", "width", 5),
        ("grouped", "out", 7),
        ("grouped", "groups", 3),
        ("gated", "hidden", 7),
        ("transformer", "width", 11),
        ("transformer", "heads", 3),
        ("transformer", "head", 5),
        ("transformer", "inner", 13),
        ("agent", "trunk", 7),
        ("agent", "policy", 11),
    ],
)
def test_plan_6_a_group_has_the_axes_that_a_width_of_the_constructor_changes(name, width, size):
    free = [g for g in groups_of(name).groups.values() if g.atom.size == size and not g.reason]
    assert axes_of(free) == changed_axes(NETS[name][0], **{width: size + 1})


@pytest.mark.parametrize(("width", "size"), [("inputs", 3), ("outputs", 2)])
def test_plan_4_what_an_input_or_output_changes_is_fixed(width: str, size: int):
    found = [g for g in groups_of("mlp").groups.values() if g.atom.size == size]
    assert axes_of(found) == changed_axes(mlp, **{width: size + 1})
    assert all(group.reason for group in found)


def rotate(model: nn.Module, group: Group, places: Sequence[Place]) -> None:
    """Moves the units of a group by one, in some of its places."""
    size = group.atom.size
    maps = {group.atom: AxisMap.copies(size, [*range(1, size), 0])}
    for place in places:
        tensor = model.state_dict()[place.tensor]
        moved = map_tensor(tensor.movedim(place.axis, 0), (place.form,), maps, [["copy"] * 99])
        tensor.copy_(moved.movedim(0, place.axis))


def outputs_of(model: nn.Module, name: str) -> list[Tensor]:
    _, inputs, entry_points = NETS[name]
    x = inputs.double() if inputs.is_floating_point() else inputs
    with torch.no_grad():
        results = [getattr(model, entry_point)(x) for entry_point in entry_points]
    return [tensor for _, tensor in tensors_in(tuple(results))]


# Networks in which no unit of any place is like another: a sum over units would not tell.
ORDERED = ("mlp", "residual", "concatenation", "grouped", "gated", "transformer", "agent", "gpt")


@pytest.mark.parametrize("name", NETS)
def test_plan_6_permuting_a_free_group_in_all_its_places_changes_no_output(name: str):
    model = NETS[name][0]().double().eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    expected = outputs_of(model, name)
    free = [g for g in groups_of(name).groups.values() if g.state and not g.reason]
    for group in free:
        # One place less, and the units no longer meet: the comparison can fail.
        for count in (len(group.state), len(group.state) - 1)[: 1 + (name in ORDERED)]:
            changed = copy.deepcopy(model)
            rotate(changed, group, group.state[:count])
            same = [
                torch.allclose(new, old, rtol=1e-9, atol=1e-9)
                for new, old in zip(outputs_of(changed, name), expected, strict=True)
            ]
            assert all(same) is (count == len(group.state)), group
    assert free


def test_blocks_of_a_flattened_concatenation():
    (group,) = groups_of("concatenation").of("right")
    shown = set(map(str, group.state))
    assert {"right.weight[0] = 7", "norm.running_mean[0] = (5 + 7)"} <= shown
    assert "head.weight[1] = ((5 2 2) + (7 2 2))" in shown


def test_a_module_with_several_groups_lists_them_from_the_first_feature_to_the_last():
    heads, key, value = groups_of("transformer").of("key_value")
    assert [group.atom.size for group in (heads, key, value)] == [3, 5, 5]
    assert axes_of([key]) == {
        (f"{name}.{kind}", 0) for name in ("query", "key_value") for kind in ("weight", "bias")
    }
    assert ("mix.weight", 1) in axes_of([value])
    assert ("query.weight", 0) in axes_of([heads]) & axes_of([key])


def test_plan_5_tied_parameters_have_one_group_under_each_of_their_names():
    groups = groups_of("transformer")
    (embedding,) = groups.of("embedding")
    (vocabulary,) = groups.of("head")
    assert ("embedding.weight", 1) in axes_of([embedding])
    assert axes_of([vocabulary]) == {("embedding.weight", 0)}
    assert vocabulary.reason


def test_plan_5_a_shared_module_has_its_groups_under_each_of_its_names():
    layer = nn.Linear(4, 4)
    model = nn.Sequential(nn.Linear(3, 4), layer, nn.ReLU(), layer, nn.Linear(4, 2))
    groups = AxisGroups(morphir.trace(model, example_inputs=(torch.zeros(2, 3),)))
    assert groups.of("1") == groups.of("3") == groups.of("0")


def test_plan_5_entry_points_share_the_axes_of_their_state():
    x = torch.zeros(2, 3)
    alone = AxisGroups(morphir.trace(Agent(), example_inputs=(x,), entry_points=BOTH[:1]))
    assert ("policy.0.weight", 1) not in axes_of(alone.of("trunk.0"))
    assert ("policy.0.weight", 1) in axes_of(groups_of("agent").of("trunk.0"))


def test_the_reason_says_where_an_output_layer_was_fixed():
    (group,) = groups_of("mlp").of("2")
    assert str(group.reason) == "it is an axis of the output of 'forward'"


def test_a_module_that_was_not_called_is_refused():
    with pytest.raises(RefusalError, match=r"'critic\.0' was called by no recorded entry point"):
        groups_of("agent").of("critic.0")


def test_a_module_whose_weights_are_read_by_other_code_is_refused():
    """No entry point would call it."""

    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(F.linear(x, self.a.weight, self.a.bias))

    groups = AxisGroups(morphir.trace(Functional(), example_inputs=(torch.zeros(2, 3),)))
    with pytest.raises(RefusalError, match=r"'a' is not called: 'a\.weight' is read by") as error:
        groups.of("a")
    assert error.value.suggestions == ("a call of 'a' in that code: its output has the axis",)


def test_a_module_without_one_feature_axis_is_refused():
    class Twins(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(3, 4), nn.Linear(3, 5)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.left(x), self.right(x)

    model = nn.Sequential(nn.ReLU(), Twins())
    groups = AxisGroups(morphir.trace(model, example_inputs=(torch.zeros(2, 3),)))
    with pytest.raises(RefusalError, match=r"'0' returns no axis that its own .* expected one"):
        groups.of("0")
    with pytest.raises(RefusalError, match=r"'1' returns 2 axes .* of 4 and 5 units") as caught:
        groups.of("1")
    assert caught.value.suggestions == ("at='1.left'", "at='1.right'")


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch takes another kernel
def test_the_two_axes_of_an_lstm_with_projections_are_named():
    model = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 6, proj_size=3))
    groups = AxisGroups(morphir.trace(model, example_inputs=(torch.zeros(5, 2, 4),)))
    with pytest.raises(RefusalError, match="of 3 and 6 units, since proj_size= gives") as caught:
        groups.of("1")
    assert caught.value.suggestions == ("an LSTM without proj_size=, and a Linear behind it",)


def test_the_examples_of_the_page_give_what_they_show():
    page = Path(__file__).parents[2] / "spec" / "planner.md"
    results = doctest.testfile(str(page), module_relative=False)
    assert results.attempted > 3
    assert results.failed == 0
