"""Any single checker may be blinded: a wrong layer is still caught by another."""

import importlib
import random
from typing import Any

import pytest
import torch
from torch import nn

import morphir
from morphir import DeeperPass, RefusalError, VerificationError
from morphir.ir import Check, Grade
from tests.zoo import bugs

pipeline = importlib.import_module("morphir.pipeline")
X = torch.randn(6, 8)


def grow() -> Any:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    bugs.VICTIM[:] = [model]
    return morphir.transform(model, DeeperPass(at="1"), example_inputs=(X,))


def blind(patch: pytest.MonkeyPatch, name: str) -> None:
    """Makes a checker say that all is well, whatever it is given."""
    if name == "check_double":  # it compares the old model with itself
        check = pipeline.check_double
        patch.setattr(pipeline, name, lambda old, new, *rest: check(old, old, *rest))
    elif name == "check_native":
        check = pipeline.check_native
        patch.setattr(pipeline, name, lambda old, new, *rest: check(old, old, *rest))
    elif name == "check_certificate":
        patch.setattr(pipeline, name, lambda *_: Check("certificate", Grade.PROVED, "sure"))
    else:
        patch.setattr(pipeline.Original, "check", lambda *_: [])


CHECKERS = ["check_double", "check_native", "check_certificate", "check"]


@pytest.mark.parametrize("name", CHECKERS)
def test_a_blind_checker_notices_nothing(monkeypatch: pytest.MonkeyPatch, name: str):
    blind(monkeypatch, name)
    grow()


@pytest.mark.parametrize("name", CHECKERS)
@pytest.mark.parametrize("bug", [bugs.rolled_eye, bugs.noise_on_what_follows])
def test_a_wrong_layer_is_caught_without_any_one_of_them(
    monkeypatch: pytest.MonkeyPatch, name: str, bug: bugs.Bug
):
    blind(monkeypatch, name)
    bug(monkeypatch, random.Random(0))
    with pytest.raises(VerificationError):
        grow()


@pytest.mark.parametrize("name", [n for n in CHECKERS if n != "check_certificate"])
def test_one_ulp_is_caught_without_the_runs(monkeypatch: pytest.MonkeyPatch, name: str):
    blind(monkeypatch, name)
    bugs.eye_off_by_one_ulp(monkeypatch, random.Random(0))
    with pytest.raises(VerificationError):
        grow()


def test_an_old_weight_is_caught_without_the_inventory(monkeypatch: pytest.MonkeyPatch):
    blind(monkeypatch, "check")
    bugs.old_weight_changed_by_one_ulp(monkeypatch, random.Random(0))
    with pytest.raises(VerificationError, match=r"@0\.weight"):
        grow()


def test_a_model_that_was_not_edited_is_caught(monkeypatch: pytest.MonkeyPatch):
    """The checkers would compare the old model with itself; what was described differs."""
    monkeypatch.setattr(pipeline.Surgery, "apply", lambda self, edits: None)
    with pytest.raises(RefusalError, match="would run 0 times where 1 are needed"):
        grow()


def test_in_place_edits_of_old_weights_are_caught(monkeypatch: pytest.MonkeyPatch):
    """Old and new model are the same object: both have the wrong weight, the inventory has not."""
    bugs.old_weight_changed_by_one_ulp(monkeypatch, random.Random(0))
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    with pytest.raises(VerificationError) as caught:
        morphir.transform(model, DeeperPass(at="1"), example_inputs=(X,), inplace=True)
    report = caught.value.report
    assert report.check("certificate").grade is Grade.PROVED, "it has only the new numbers to see"
    assert report.check("kept").where == "0.weight"
    assert report.check("float64").grade is Grade.REFUTED
