"""What else has to change so that the numbers in the code come out right."""

import pytest

from morphir.axes import AxisGroups
from morphir.errors import RefusalError
from morphir.ir import AttributeChange, AxisMap
from tests.axes.resizing import groups_of


def names(groups: AxisGroups, sizes) -> list[tuple[str, int, int]]:
    return [(groups.groups[leaf].state[0].tensor, leaf.size, size) for leaf, size in sizes.items()]


@pytest.mark.parametrize("factor", [2, 3])
def test_plan_12_the_residual_stream_of_a_gpt_grows_with_the_heads_of_every_block(factor: int):
    groups = groups_of("gpt")
    (stream,) = groups.of("ln_f")
    joint = groups.companions({stream.atom: factor * 12})
    assert names(groups, joint) == [
        ("wte.weight", 12, factor * 12),
        ("h.0.attn.c_attn.weight", 3, factor * 3),
        ("h.1.attn.c_attn.weight", 3, factor * 3),
    ]
    maps = {leaf: AxisMap.copies(leaf.size, [*range(leaf.size)] * factor) for leaf in joint}
    tensors, attributes = groups.resize(maps)
    assert {AttributeChange(f"h.{k}.attn", "n_head", 3, factor * 3) for k in (0, 1)} < {*attributes}
    assert {AttributeChange(f"h.{k}.attn", "n_embd", 12, factor * 12) for k in (0, 1)} < {
        *attributes
    }
    assert tensors["h.0.attn.c_attn.weight"][0].new_size == factor * 36


def test_plan_12_it_shrinks_with_them():
    groups = groups_of("gpt")
    (stream,) = groups.of("ln_f")
    assert [new for _, _, new in names(groups, groups.companions({stream.atom: 8}))] == [8, 2, 2]


def test_plan_12_each_alone_is_refused_and_the_joint_change_proposed():
    groups = groups_of("gpt")
    heads = groups.of("h.0.attn.c_attn")[0].atom
    with pytest.raises(RefusalError) as caught:
        groups.resize({heads: AxisMap.copies(3, [0, 1, 2, 0, 1, 2])})
    assert "(size 2 of " in caught.value.reason
    assert "// h.0.attn.n_head) would be 2" in caught.value.reason
    assert caught.value.suggestions == (
        "change together: 3 -> 6 units of h.0.attn.c_attn.weight[0], "
        "12 -> 24 units of wte.weight[1], 3 -> 6 units of h.1.attn.c_attn.weight[0]",
    )


def test_plan_12_parts_that_are_tied_are_companions_and_nothing_more():
    groups = groups_of("transformer")
    _, key, value = groups.of("key_value")
    assert groups.companions({key.atom: 8}) == {key.atom: 8, value.atom: 8}


def test_plan_12_what_meets_its_obligations_needs_no_companions():
    groups = groups_of("mlp")
    (hidden,) = groups.of("0")
    assert groups.companions({hidden.atom: 9}) == {hidden.atom: 9}


def test_plan_12_where_nothing_helps_the_first_obligation_is_the_reason():
    groups = groups_of("literal")
    (stem,) = groups.of("stem")
    with pytest.raises(RefusalError, match="112 does not follow: it is written in the code"):
        groups.companions({stem.atom: 14})
