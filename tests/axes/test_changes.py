"""The changes of state entries and of attributes."""

from morphir.axes.changes import attribute_changes
from morphir.ir import Added, AttributeChange, AxisMap, Mapped, ModuleAttribute, Multiplied
from tests.axes.resizing import groups_of


def test_plan_13_a_change_has_the_form_of_its_axis():
    groups = groups_of("concatenation")
    (right,) = groups.of("right")
    axis_map = AxisMap.copies(7, [*range(7), 0])
    tensors, _ = groups.resize({right.atom: axis_map})
    kept, changed = Mapped(5), Mapped(7, axis_map, "copy")
    assert tensors["norm.weight"] == (Added((kept, changed)),)
    outputs, inputs = tensors["head.weight"]
    assert outputs == Mapped(2)
    split = Mapped(7, axis_map, "split")
    assert inputs == Added((Mapped(20), Multiplied((split, Mapped(2), Mapped(2)))))


def test_plan_13_a_map_is_named_once():
    groups = groups_of("by_split")
    heads, query, _ = groups.of("qkv")
    maps = {group.atom: AxisMap.copies(group.atom.size, [0]) for group in (heads,)}
    (axis_map,) = maps.values()
    change = groups.resize(maps)[0]["qkv.weight"][0]
    assert isinstance(change, Added)
    factors = [term.factors for term in change.terms if isinstance(term, Multiplied)]
    assert [first.map is axis_map for first, _ in factors if isinstance(first, Mapped)] == [
        True
    ] * 3
    assert query.atom.size == 5


def test_an_element_of_a_tuple_is_changed_with_the_whole():
    shape = [ModuleAttribute("norm", f"normalized_shape[{k}]", n) for k, n in enumerate((3, 5))]
    heads = ModuleAttribute("", "heads", 2)
    assert attribute_changes({shape[1]: 10, heads: 4}, [*shape, heads]) == (
        AttributeChange("norm", "normalized_shape", (3, 5), (3, 10)),
        AttributeChange("", "heads", 2, 4),
    )


def test_two_elements_of_a_tuple_are_one_change():
    shape = [ModuleAttribute("norm", f"normalized_shape[{k}]", n) for k, n in enumerate((3, 5))]
    assert attribute_changes({shape[0]: 6, shape[1]: 10}, shape) == (
        AttributeChange("norm", "normalized_shape", (3, 5), (6, 10)),
    )
