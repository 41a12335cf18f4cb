"""Pictures stay readable."""

from morphir.show import folding
from morphir.show.folding import closed_boxes
from morphir.show.scheme import calls_in
from tests.show.drawings import scheme


def titles(closed: frozenset[str]) -> set[str]:
    return {box.title for box in calls_in(scheme("ActorCritic").root) if box.key in closed}


def test_a_small_model_is_open():
    assert not closed_boxes(scheme("ActorCritic"))


def test_a_depth_closes_what_is_deeper():
    assert titles(closed_boxes(scheme("ActorCritic"), 0)) == {"blocks"}
    assert titles(closed_boxes(scheme("ActorCritic"), 1)) == {"0", "1"}
    assert not closed_boxes(scheme("ActorCritic"), 2)


def test_boxes_are_opened_from_the_outside_as_long_as_there_is_room(monkeypatch):
    monkeypatch.setattr(folding, "_READABLE", 13)
    assert titles(closed_boxes(scheme("ActorCritic"))) == {"1"}
    monkeypatch.setattr(folding, "_READABLE", 5)
    assert titles(closed_boxes(scheme("ActorCritic"))) == {"blocks", "0", "1"}
