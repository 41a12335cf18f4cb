"""A drawing shows what the program has."""

import pytest

from morphir.show.scheme import Box, calls_in
from tests.show.drawings import census_of, scheme
from tests.show.nets import EVERY


@pytest.mark.parametrize("name", EVERY)
def test_show_3_cards_and_wires_are_the_view_of_the_program(name: str):
    """SHOW-3: the vertices and edges of the networkx view, but for the state"""
    program, drawn = census_of(name).program, scheme(name)
    view = program.to_networkx()
    vertices = [v for v, data in view.nodes(data=True) if data["kind"] != "state"]
    cards = list(drawn.root.cards)
    kinds = {"input": "input", "output": "output", "node": "ops"}
    assert len(vertices) == len(cards)
    order = {"input": [], "ops": [], "output": []}
    for card in cards:
        order[card.kind if card.kind in order else "ops"].append(card.key)
    number = {key: iter(found) for key, found in order.items()}
    same = {v: next(number[kinds[view.nodes[v]["kind"]]]) for v in vertices}
    edges = {(same[a], same[b]) for a, b in view.edges() if a in same and b in same}
    assert edges == {(wire.source, wire.target) for wire in drawn.wires}


def test_a_call_of_one_op_is_a_card_with_the_name_of_its_module():
    cards = {card.title: card for card in scheme("conv_net").root.cards}
    assert [*cards] == ["input", "0", "1", "2", "3", "4", "output"]
    conv = cards["0"]
    assert (conv.kind, conv.subtitle, conv.module) == ("layer", "Conv2d", "0")
    assert [(chip.label, [d.size for d in chip.dims]) for chip in conv.chips] == [
        ("weight", ["8", "3", "3", "3"]),
        ("bias", ["8"]),
    ]
    assert conv.names == ("g1",)
    assert "conv2d(" in conv.detail
    assert ".py:" in conv.detail


def test_state_of_the_same_dimensions_shares_a_chip_parameters_first():
    norm = {card.title: card for card in scheme("conv_net").root.cards}["1"]
    (chip,) = norm.chips
    assert chip.names == ("weight", "bias", "running_mean", "running_var")
    assert chip.label == "weight +3"


def test_state_of_another_module_has_its_whole_name():
    head = [card for card in scheme("Tied").root.cards if card.kind == "op" and card.chips]
    assert [chip.label for card in head for chip in card.chips] == ["embed.weight"]


def test_boxes_are_calls_inside_one_another():
    boxes = [*calls_in(scheme("ActorCritic").root)]
    assert [(box.title, box.subtitle, box.module) for box in boxes] == [
        ("forward", "ActorCritic", ""),
        ("blocks", "Sequential", "blocks"),
        ("0", "Block", "blocks.0"),
        ("1", "Block", "blocks.1"),
    ]
    assert all(isinstance(box, Box) and box.parts for box in boxes)
    assert boxes[1].names == ("g1", "g2", "g3")


def test_a_wire_has_the_groups_that_flow_along_it():
    drawn = scheme("ActorCritic")
    titles = {card.key: card.title for card in drawn.root.cards}
    flows = {(titles[w.source], titles[w.target]): w.names for w in drawn.wires}
    assert flows["x", "stem"] == ()
    assert flows["stem", "relu"] == ("g1",)
    assert flows["up", "relu"] in {("g2",), ("g3",)}
