"""A resize computes what was computed before: applied by hand, compared in float64."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import morphir
from morphir.axes import AxisGroups, Effect
from morphir.errors import RefusalError
from morphir.ir import AxisMap
from tests.axes import resizing
from tests.axes.nets import NETS, Agent
from tests.axes.random_nets import TOKENS, RandomNet
from tests.axes.resizing import Maps, free_leaves, groups_of

Draw = Callable[[int, random.Random], AxisMap]
KINDS: tuple[Draw, ...] = (
    resizing.grown,
    resizing.doubled,
    resizing.turned,
    resizing.without_one,
)
# What refuses, by how many of the four kinds of maps, over all leaves; each reason was looked at.
REFUSED = {
    "literal": {"is written in the code": 3},
    "gram": {"copied and split": 4},
    "summed": {"copied and split": 4},
    "norms": {"equally often": 4},
    "normalised": {"equally often": 6, "exactly once": 3},
    "mixer": {"equally often": 2},
    "transformer": {"copied and split": 4, "parts of equal size": 6},
    "by_split": {"equally often": 2, "would have to be": 6},
    "by_chunk": {"equally often": 2, "parts of equal size": 6},
    "by_unbind": {"equally often": 2, "copied and split": 4},
    "by_index": {"equally often": 2, "copied and split": 4},
    "encoder": {"equally often": 2, "parts of equal size": 4},
    "gpt": {"equally often": 2, "would have to be": 13},
}


def check_same(name: str, groups: AxisGroups, maps: Maps) -> None:
    """Applies the maps, units that go made to contribute nothing, and compares."""
    make, inputs, entry_points = NETS[name]
    torch.manual_seed(0)
    model = resizing.awake(make())
    tensors, attributes = groups.resize(maps)
    model = resizing.without_what_goes(model, tensors)
    changed = resizing.applied(model, tensors, attributes)
    old, new = (resizing.outputs_of(each, inputs, entry_points) for each in (model, changed))
    assert resizing.distance(old, new) < 1e-12


@pytest.mark.parametrize("name", NETS)
def test_plan_13_every_free_group_changes_or_refuses_for_a_known_reason(name: str):
    groups = groups_of(name)
    refused: dict[str, int] = {}
    for leaf in free_leaves(groups):
        for draw in KINDS:
            maps = {leaf: draw(leaf.size, random.Random(leaf.size))}
            try:
                groups.resize(maps)
            except RefusalError as error:
                known = [text for text in REFUSED.get(name, ()) if text in error.reason]
                reason = known[0] if known else str(error)
                refused[reason] = refused.get(reason, 0) + 1
            else:
                check_same(name, groups, maps)
    assert refused == REFUSED.get(name, {})


@pytest.mark.parametrize("seed", range(24))
def test_plan_13_random_networks_compute_what_they_computed_before(seed: int):
    model, x = RandomNet(seed), torch.randn(2, TOKENS, 3)
    groups = AxisGroups(morphir.trace(model, example_inputs=(x,)))
    model = resizing.awake(model)
    for leaf in free_leaves(groups):
        for draw in KINDS[: 3 + (leaf.size > 1)]:
            try:
                changes = groups.resize({leaf: draw(leaf.size, random.Random(seed))})
            except RefusalError:
                continue
            before = resizing.without_what_goes(model, changes[0])
            both = before, resizing.applied(before, *changes)
            old, new = (resizing.outputs_of(each, x, ["forward"]) for each in both)
            assert resizing.distance(old, new) < 1e-12


@pytest.mark.parametrize("name", ["by_split", "by_chunk", "transformer", "gpt", "encoder"])
def test_plan_13_joint_changes_compute_what_was_computed_before(name: str):
    groups, numbers = groups_of(name), random.Random(0)
    found = 0
    for leaf in free_leaves(groups):
        try:
            sizes = groups.companions({leaf: 2 * leaf.size})
            groups.resize({each: resizing.doubled(each.size, numbers) for each in sizes})
        except RefusalError:
            continue
        check_same(name, groups, {e: resizing.doubled(e.size, numbers) for e in sizes})
        found += len(sizes) > 1
    assert found


@pytest.mark.parametrize("name", ["residual", "offsets", "dense", "inverted", "agent"])
def test_plan_13_several_leaves_change_at_once(name: str):
    groups, numbers = groups_of(name), random.Random(0)
    maps = {leaf: resizing.grown(leaf.size, numbers) for leaf in free_leaves(groups)}
    assert len(maps) > 1
    check_same(name, groups, maps)


def test_plan_13_a_model_of_new_widths_has_the_same_groups():
    make, inputs, _ = NETS["concatenation"]
    model, groups = make(), groups_of("concatenation")
    (left,) = groups.of("left")
    maps = {left.atom: AxisMap.copies(5, [*range(5), 0])}
    grown = resizing.applied(model.double(), *groups.resize(maps))
    again = AxisGroups(morphir.trace(grown, example_inputs=(inputs.double(),)))
    assert [(p.tensor, p.axis) for p in again.of("left")[0].state] == [
        (place.tensor, place.axis) for place in left.state
    ]
    assert again.of("left")[0].atom.size == 6


def test_a_fixed_axis_refuses_with_its_reason():
    groups = groups_of("mlp")
    (outputs,) = groups.of("2")
    with pytest.raises(RefusalError, match="cannot change: it is an axis of the output"):
        groups.resize({outputs.atom: AxisMap.copies(2, [0, 1, 1])})


def test_an_axis_keeps_a_unit():
    groups = groups_of("mlp")
    (hidden,) = groups.of("0")
    with pytest.raises(RefusalError, match="no units left") as caught:
        groups.resize({hidden.atom: AxisMap.copies(7, [])})
    assert caught.value.nodes == ("0.weight[0]",)


def test_a_map_of_another_size_is_an_error():
    groups = groups_of("mlp")
    (hidden,) = groups.of("0")
    with pytest.raises(ValueError, match="a map of 6 units cannot change"):
        groups.resize({hidden.atom: AxisMap.copies(6, [0])})


def test_nothing_changes_where_no_map_does():
    groups = groups_of("mlp")
    (hidden,) = groups.of("0")
    assert groups.resize({hidden.atom: AxisMap.identity(7)}) == ({}, ())


def test_state_that_no_entry_point_reads_stops_its_module():
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.second((x @ self.first.weight.T).relu())

    groups = AxisGroups(morphir.trace(Partly(), example_inputs=(torch.zeros(2, 3),)))
    leaf = free_leaves(groups)[0]
    with pytest.raises(RefusalError, match=r"no recorded entry point reads 'first\.bias'"):
        groups.resize({leaf: AxisMap.copies(4, [0, 1, 2, 3, 3])})


def test_whole_numbers_cannot_be_split_and_those_with_parts_can():
    class Counted(nn.Module):
        def __init__(self, dtype: torch.dtype) -> None:
            super().__init__()
            self.first = nn.Linear(3, 4)
            self.register_buffer("counts", torch.arange(4, dtype=dtype))

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x).relu() @ self.counts.to(x.dtype)

    def resize(dtype: torch.dtype) -> object:
        traced = morphir.trace(Counted(dtype), example_inputs=(torch.zeros(2, 3),))
        groups = AxisGroups(traced)
        (leaf,) = free_leaves(groups)
        return groups.resize({leaf: AxisMap.copies(4, [0, 1, 2, 3, 3])})

    with pytest.raises(
        RefusalError, match=r"'counts' would have to be split, and is of torch\.int"
    ) as refused:
        resize(torch.int64)
    assert "floating-point" in refused.value.suggestions[0]
    assert resize(torch.float32)


def test_a_resize_reaches_every_entry_point():
    x = torch.zeros(2, 3)
    names = ("get_value", "get_action_and_value")
    groups = AxisGroups(morphir.trace(Agent(), example_inputs=(x,), entry_points=names))
    (trunk,) = groups.of("trunk.0")
    tensors, _ = groups.resize({trunk.atom: AxisMap.copies(7, [*range(7), 0])})
    assert {"critic.weight", "policy.0.weight"} <= tensors.keys()


def test_an_explanation_has_shapes_polarities_and_the_ops_behind_them():
    groups = groups_of("mlp")
    (hidden,) = groups.of("0")
    first, bias, second = groups.explain({hidden.atom: AxisMap.copies(7, [*range(7), 0, 1])})
    assert (first.tensor, first.axis, first.old, first.new) == ("0.weight", 0, (7, 3), (9, 3))
    assert (first.polarity, bias.polarity, second.polarity) == ("copy", "copy", "split")
    assert isinstance(second, Effect)
    assert (second.old, second.new) == ((2, 7), (2, 9))
    assert (second.place.op, second.place.module) == ("linear", "2")
