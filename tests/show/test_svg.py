"""Drawings are well-formed, hold what they show, and need nothing else."""

import re
from xml.etree import ElementTree

import pytest

from morphir import RefusalError
from morphir.show import show_svg
from tests.show.drawings import census_of, scheme
from tests.show.nets import EVERY

SPACE = "{http://www.w3.org/2000/svg}"


def drawn(name: str, **options: object) -> ElementTree.Element:
    return ElementTree.fromstring(show_svg(census_of(name), **options))


def words(picture: ElementTree.Element) -> list[str]:
    return ["".join(each.itertext()) for each in picture.iter(f"{SPACE}text")]


@pytest.mark.parametrize("name", EVERY)
def test_it_is_xml_with_every_card_and_wire(name: str):
    picture = drawn(name)
    found = scheme(name)
    assert len([*picture.iter(f"{SPACE}path")]) >= len({(w.source, w.target) for w in found.wires})
    text = " ".join(words(picture))
    assert all(card.title in text for card in found.root.cards)


@pytest.mark.parametrize("name", EVERY)
def test_show_6_it_needs_no_other_file(name: str):
    """SHOW-6: nothing in it points outside"""
    text = show_svg(census_of(name)).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|@import|<script|href=|url\((?!#)", text)


def test_it_says_what_changes_a_group_and_how():
    text = " ".join(words(drawn("conv_net")))
    assert "copied with the group" in text
    assert "8 units  WiderPass(at='0', width=16)" in text
    pills = [
        each for each in drawn("conv_net").iter(f"{SPACE}g") if "pill g" in each.get("class", "")
    ]
    tips = {
        each.find(f"{SPACE}title").text: each.find(f"{SPACE}rect").get("style") for each in pills
    }
    assert tips["128 (g1 4 4) split"] == "fill:url(#g1)"
    assert tips["8 g1 copy"] is None


def test_one_module_is_lit():
    every, one = show_svg(census_of("ActorCritic")), show_svg(census_of("ActorCritic"), at="stem")
    assert 'class="w g g2"' in every
    assert 'class="w g g2"' not in one
    assert 'class="w g g1"' in one
    with pytest.raises(RefusalError):
        show_svg(census_of("ActorCritic"), at="stam")


def test_closed_boxes_count_what_is_in_them():
    assert "10 ops" in words(drawn("ActorCritic", depth=0))
    assert "10 ops" not in words(drawn("ActorCritic"))


def test_names_are_escaped():
    import torch
    from torch import nn

    import morphir
    from morphir.show import Census

    net = nn.Sequential()
    net.add_module("<b>&", nn.Linear(2, 3))
    census = Census(morphir.trace(net, example_inputs=(torch.zeros(1, 2),)))
    assert "<b>&" in " ".join(words(ElementTree.fromstring(show_svg(census))))
