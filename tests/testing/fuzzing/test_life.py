"""FUZZ-1, FUZZ-3: a life shows what goes wrong in it, as what it is."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from morphir.errors import RefusalError, VerificationError
from morphir.state.storage import load
from morphir.testing import Recipe, Step
from morphir.testing.fuzzing import Action, FoundError, Scenario, live
from morphir.testing.fuzzing.life import Tally
from morphir.transform import transform

RECIPE = Recipe((Step("linear", number=1), Step("relu")), weights="random", value=True)
WIDEN = Action("widen")
CHECKS = ("certificate",)


def lived(*actions: Action, **options: Any) -> Tally:
    tally = Tally()
    live(Scenario(RECIPE, actions, **options), checks=CHECKS, tally=tally)
    return tally


def found(*actions: Action) -> FoundError:
    with pytest.raises(FoundError) as caught:
        lived(*actions)
    return caught.value


def test_what_happens_is_counted():
    at_the_head, merge, in_place = Action("widen", place=1), Action("merge"), Action("widen", 0, 4)
    tally = lived(merge, WIDEN, Action("train"), Action("save"), at_the_head, in_place, merge)
    assert tally.outcomes["widen", "PROVED"] == 2
    assert tally.outcomes["widen", "refused"] == 1
    assert tally.outcomes["merge", "nothing to do"] == 1
    assert tally.outcomes["merge", "PROVED"] == 1, "of the copies that have not parted"
    assert tally.events == {"train": 1, "save": 1}
    (reason,) = (why for _, why in tally.reasons)
    assert reason == "the axis cannot change: it is an axis of the output of '...'"


def test_a_life_in_which_inputs_and_outputs_get_longer():
    longer, more = Action("extend-input", number=1), Action("extend-output", number=1)
    tally = lived(longer, more, Action("train"), longer, Action("save"), WIDEN)
    assert tally.outcomes["extend-input", "PROVED"] == 2
    assert tally.outcomes["extend-output", "PROVED"] == 1
    assert tally.outcomes["widen", "PROVED"] == 1


def test_several_passes_at_once():
    tally = lived(Action("extend-input", number=21), WIDEN)
    assert tally.outcomes == {("extend-input", "PROVED"): 1, ("widen", "PROVED"): 1}


@pytest.mark.parametrize(("place", "number"), [(1, 1), (0, 2)])
def test_units_that_are_silenced_go(place: int, number: int):
    """Nobody reads them, or they are always 0."""
    tally = Tally()
    actions = Action("compact"), Action("silence", place, number), Action("compact")
    live(Scenario(replace(RECIPE, value=False), actions), checks=CHECKS, tally=tally)
    assert tally.outcomes == {("compact", "nothing to do"): 1, ("compact", "PROVED"): 1}


def test_fuzz_3_what_a_refusal_changes_is_found(monkeypatch: pytest.MonkeyPatch):
    """FUZZ-3: also where it is the optimizer"""

    def refused(model: Any, pass_: Any, **options: Any) -> Any:
        options["optimizer"].param_groups[0]["params"].reverse()
        raise RefusalError("no", nodes=["here"])

    two = Recipe((Step("linear", number=1),), weights="random")
    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", refused)
    with pytest.raises(FoundError, match="the optimizer differs after it was refused"):
        live(Scenario(two, (WIDEN,)))


def test_fuzz_3_what_an_application_to_a_copy_changes_is_found(monkeypatch: pytest.MonkeyPatch):
    """FUZZ-3"""

    def careless(model: Any, pass_: Any, **options: Any) -> Any:
        model.relu1.inplace = True
        return transform(model, pass_, **options)

    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", careless)
    error = found(WIDEN)
    assert error.kind == "changed"
    assert "module 'relu1' differs after it was applied to a copy" in str(error)


def test_fuzz_3_a_random_state_that_moves_is_found(monkeypatch: pytest.MonkeyPatch):
    """FUZZ-3"""

    def drawing(model: Any, pass_: Any, **options: Any) -> Any:
        torch.rand(1)
        return transform(model, pass_, **options)

    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", drawing)
    assert "torch's random state differs after widen" in str(found(WIDEN))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (KeyError("h"), "crash", "KeyError"),
        (VerificationError("the change is REFUTED"), "false alarm", "the change is REFUTED"),
        (RefusalError("it does not fit"), "no place", "no node is named: it does not fit"),
    ],
)
def test_fuzz_1_errors_are_told_apart(
    error: Exception, kind: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    """FUZZ-1"""

    def raising(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", raising)
    caught = found(WIDEN)
    assert caught.kind == kind
    assert message in str(caught)
    assert caught.case is not None


@pytest.mark.parametrize("lost", ["a weight", "a moment"])
def test_fuzz_5_a_file_that_lost_something_is_found(lost: str, monkeypatch: pytest.MonkeyPatch):
    """FUZZ-5"""

    def forgetful(*arguments: Any, **options: Any) -> Any:
        model, optimizer = load(*arguments, **options)
        with torch.no_grad():
            if lost == "a weight":
                model.head.bias.add_(1e-6)
            else:
                optimizer.state[model.head.bias]["exp_avg"].zero_()
        return model, optimizer

    monkeypatch.setattr("morphir.testing.fuzzing.life.load", forgetful)
    error = found(Action("save"))
    assert error.kind == "save and load"
    assert "head.bias" in str(error)
