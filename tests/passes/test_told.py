"""What a widening says of itself."""

from typing import Any

import morphir
from morphir.axes import AxisGroups
from morphir.ir import AxisMap
from morphir.ops import Atom
from morphir.passes.told import told
from tests.axes.nets import NETS


def groups_of(name: str) -> AxisGroups:
    make, x, entry_points = NETS[name]
    return AxisGroups(morphir.trace(make(), example_inputs=(x,), entry_points=entry_points))


def copied(leaves: Any, times: int = 2) -> dict[Atom, AxisMap]:
    return {leaf: AxisMap.copies(leaf.size, [*range(leaf.size)] * times) for leaf in leaves}


def test_of_features_the_units_are_counted():
    groups = groups_of("mlp")
    maps = copied(group.atom for group in groups.of("0"))
    assert [*told(groups, ["0"], maps, heads=False)] == ["0: 7 -> 14 units"]


def test_what_changes_along_goes_by_its_attribute_and_several_parts_of_a_module_by_its_name():
    groups = groups_of("gpt")
    joint = groups.companions({groups.of("wte")[0].atom: 24})
    assert [*told(groups, ["wte"], copied(joint), heads=False)] == [
        "wte: 12 -> 24 units",
        "h.0.attn.n_head: 3 -> 6 units",
        "h.1.attn.n_head: 3 -> 6 units",
    ]
    groups = groups_of("by_chunk")
    parts = {group.atom for group in groups.of("qkv") if group.atom.size == 5}
    assert [*told(groups, ["qkv"], copied(parts), heads=False)] == [
        "qkv: 5 and 5 -> 10 and 10 units"
    ]


def test_of_heads_it_is_said_how_many_and_how_many_features_they_make():
    groups = groups_of("gpt")
    joint = groups.companions({groups.of("wte")[0].atom: 24})
    assert [*told(groups, ["h.0.attn"], copied(joint), heads=True)] == [
        "h.0.attn: 3 -> 6 heads",
        "h.0.attn: 12 -> 24 units",  # it returns the stream
        "h.1.attn.n_head: 3 -> 6 units",
    ]
    assert next(told(groups, ["h.0.attn.c_attn"], copied(joint), heads=True)) == (
        "h.0.attn.c_attn: 3 -> 6 heads, 36 -> 72 features"
    )
