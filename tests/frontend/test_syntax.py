"""What the source of a class says."""

import ast

from torch import nn

from morphir.frontend.syntax import aliases_in, class_trees, containers


class Base(nn.Module):
    def parts(self) -> list[nn.Module]:
        layers = self.layers
        return [layers[0], *self.others]


class Derived(Base):
    pass


def test_the_sources_of_a_class_and_its_bases_are_read_and_torchs_are_not():
    names = [tree.body[0].name for tree in class_trees(Derived)]
    assert names == ["Derived", "Base"]
    assert [*class_trees(nn.Linear)] == []
    assert [*class_trees(type("Made", (nn.Module,), {}))] == []


def test_files_that_do_not_mention_an_attribute_are_left_out():
    assert len([*class_trees(Derived, mention="layers")]) == 2
    assert [*class_trees(Derived, mention="nobody" + "s_attribute")] == []


def test_local_names_stand_for_expressions():
    _, tree = class_trees(Derived)
    assert {k: ast.unparse(v) for k, v in aliases_in(tree).items()} == {"layers": "self.layers"}


def test_what_is_told_apart_by_number_or_order_is_a_container():
    text = "a[0], b[:2], len(c), [*d], [x for x in e], max(f)\nfor y in g: pass"
    found = {ast.unparse(c) for node in ast.walk(ast.parse(text)) for c in containers(node)}
    assert found == {"a", "b", "c", "d", "e", "g"}
