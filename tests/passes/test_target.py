"""What size an axis can get, and through which of its leaves."""

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError, WiderPass
from morphir.axes import AxisGroups
from morphir.ops.forms import parts_of
from morphir.passes.target import Target
from tests.axes.nets import NETS


def groups_of(name: str) -> AxisGroups:
    make, x, entry_points = NETS[name]
    program = morphir.trace(make(), example_inputs=(x,), entry_points=entry_points)
    return AxisGroups(program)


def sizes(target: Target, groups: AxisGroups, *, joint: bool = False) -> list[tuple[int, int]]:
    return [(leaf.size, size) for leaf, size in target.choices(groups, joint=joint)]


def test_one_leaf_gets_what_was_asked_for():
    groups = groups_of("mlp")
    assert sizes(Target.of(groups, "0", 9, None), groups) == [(7, 9)]
    assert sizes(Target.of(groups, "0", 7, None), groups) == []


def test_blocks_grow_by_whole_blocks():
    groups = groups_of("grouped")  # (3 groups of 5)
    assert sizes(Target.of(groups, "first", 30, None), groups) == [(3, 6), (5, 10)]
    assert sizes(Target.of(groups, "first", 18, None), groups) == [(5, 6)]
    with pytest.raises(RefusalError, match="15 output features in blocks, which can't become 17"):
        sizes(Target.of(groups, "first", 17, None), groups)
    assert Target.of(groups, "first", 16, None).others(groups) == [18, 20, 30, 45]
    assert Target.of(groups, "first", 12, None).others(groups) == [30, 45]
    with pytest.raises(RefusalError, match="has 15 output features, more than width=12"):
        sizes(Target.of(groups, "first", 12, None), groups)


def test_a_leaf_that_stands_twice_counts_twice():
    groups = groups_of("gated")
    assert sizes(Target.of(groups, "up", 20, None), groups) == [(7, 10)]


def test_jointly_all_parts_may_grow_in_proportion():
    groups = groups_of("by_chunk")
    target = Target.of(groups, "qkv", 90, None)
    assert (5, 10) not in sizes(target, groups)
    assert (5, 10) in sizes(target, groups, joint=True)
    leaves = {leaf for leaf, _ in target.choices(groups, joint=True) if leaf.size == 5}
    target.check(dict.fromkeys(leaves, 10))
    with pytest.raises(RefusalError, match="would have 180 output features when all has changed"):
        target.check(dict.fromkeys(leaves, 20))


def test_a_module_without_features_of_its_own_is_refused():
    groups = AxisGroups(
        morphir.trace(nn.Sequential(nn.Linear(4, 6), nn.ReLU()), example_inputs=(torch.ones(2, 4),))
    )
    with pytest.raises(RefusalError, match="returns no axis that its own parameters have"):
        Target.of(groups, "1", 9, None)


def test_features_of_a_product_are_a_form():
    assert parts_of(Target.of(groups_of("grouped"), "first", 30, None).form)


def test_of_an_activation_the_layer_before_it_is_suggested():
    groups = groups_of("gpt")
    with pytest.raises(RefusalError, match=r"'h\.0\.mlp\.1' returns no axis") as caught:
        Target.of(groups, "h.0.mlp.1", 64, None)
    assert caught.value.suggestions == ("at='h.0.mlp.0'",)


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.first, self.second = nn.Linear(3, 8), nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, second = self.up(x).chunk(2, -1)
        return self.first(first.relu()) + self.second(second.tanh())


@pytest.mark.parametrize(("width", "nearest", "part"), [(12, 12, 6), (9, 10, 5), (13, 14, 7)])
def test_plan_12_parts_of_an_axis_are_proposed_together_at_the_nearest_width(width, nearest, part):
    x = torch.randn(2, 3)
    groups = AxisGroups(morphir.trace(Halves(), example_inputs=(x,)))
    assert Target.of(groups, "up", width, None).jointly(groups) == sorted({nearest, 16})
    refusal = morphir.plan(Halves(), WiderPass(at="up", width=width), example_inputs=(x,)).refusal
    assert refusal is not None
    assert refusal.suggestions[-2:] == (
        f"change together: 4 -> {part} units of up.weight[0] (0 to 3), "
        f"4 -> {part} units of up.weight[0] (4 to 7)",
        "joint=True" if nearest == width else f"width={nearest}, joint=True",
    )
    joint = WiderPass(at="up", width=width, joint=True)
    alone = morphir.plan(Halves(), joint, example_inputs=(x,)).refusal
    assert alone is None or alone.suggestions[0] == f"width={nearest}"
