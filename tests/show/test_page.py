"""The page holds everything it shows, and needs nothing else."""

import json
import re
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

import morphir
from morphir import RefusalError
from morphir.show import Census, show_page
from tests.show.drawings import census_of, scheme
from tests.show.nets import EVERY, ROWS, ActorCritic

VOID = {"meta", "br", "link", "input", "img"}


class Elements(HTMLParser):
    """Every element's attributes, by tag; fails where tags do not match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def wires(page: str) -> list[tuple[str, str, list[str]]]:
    return json.loads(re.search(r"const WIRES = (.*), LIT = ", page)[1])


@pytest.mark.parametrize("name", EVERY)
def test_show_6_the_page_needs_no_other_file(name: str):
    """SHOW-6: nothing in it points outside"""
    page = show_page(census_of(name)).replace('"http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|@import|href=|\bsrc=|url\(|fetch\(", page)


@pytest.mark.parametrize("name", EVERY)
def test_every_card_box_wire_and_group_is_on_it_once(name: str):
    page = show_page(census_of(name))
    elements = Elements(page).found
    ids = [attributes["id"] for _, attributes in elements if attributes.get("id")]
    assert len(ids) == len({*ids})
    assert {card.key for card in scheme(name).root.cards} <= {*ids}
    assert [(w.source, w.target, [*w.names]) for w in scheme(name).wires] == [
        tuple(wire) for wire in wires(page)
    ]
    names = {axis.name for axis in census_of(name).axes}
    rows = [a["data-g"] for tag, a in elements if tag == "li" and a.get("data-g")]
    assert sorted(rows) == sorted(names)
    shown = {n for _, a in elements for n in (a.get("data-g") or "").split()}
    assert shown == names


def test_sizes_are_marked_copied_split_or_stuck():
    def marks(name: str) -> set[str]:
        classes = (a.get("class") or "" for _, a in Elements(show_page(census_of(name))).found)
        return {c for c in classes if c.startswith("dim ")}

    assert {"dim copy g1", "dim split g1"} <= marks("conv_net")
    assert any(mark.startswith("dim stuck") for mark in marks("Tied"))


def test_boxes_are_open_as_far_as_asked():
    def opened(depth: int | None) -> list[bool]:
        elements = Elements(show_page(census_of("ActorCritic"), depth=depth)).found
        return ["open" in a for tag, a in elements if "box" in (a.get("class") or "").split()]

    assert opened(None) == [True, True, True]
    assert opened(1) == [True, False, False]
    assert opened(0) == [False, True, True], "what is inside of it opens with it"


def test_every_entry_point_is_drawn():
    program = morphir.trace(
        ActorCritic(), example_inputs=ROWS, entry_points=("forward", "get_value")
    )
    text = "".join(Elements(show_page(Census(program))).text)
    assert "forward, get_value in eval mode" in text
    assert text.count("stemLinear") + text.count("stem Linear") == 2
    assert text.count("actor Linear") == 1


def test_a_module_is_lit_when_the_page_opens():
    page = show_page(census_of("ActorCritic"), at="blocks.0.up")
    assert 'LIT = ["g2"], AT = "blocks.0.up"' in page
    assert 'LIT = ["f2"], AT = "actor"' in show_page(census_of("ActorCritic"), at="actor")
    with pytest.raises(RefusalError):
        show_page(census_of("ActorCritic"), at="stam")


def test_names_are_escaped():
    net = nn.Sequential()
    net.add_module("</script><b>", nn.Linear(2, 3))
    net.add_module("next", nn.Linear(3, 2))
    census = Census(morphir.trace(net, example_inputs=(torch.zeros(1, 2),)))
    page = show_page(census, at="</script><b>")
    assert "<b></" not in page.replace("<b></b>", "")
    assert page.count("</script>") == 1
    Elements(page)
