"""The report, as a line, a page and JSON."""

import json

from morphir.testing import FuzzReport, Recipe
from morphir.testing.fuzzing import Action, Finding, Scenario

SCENARIO = Scenario(Recipe(), (Action("widen"),))
REPORT = FuzzReport(
    seed=4,
    cases=9,
    passes={"widen": {"PROVED": 5, "refused": 2}, "merge": {"nothing to do": 3, "TESTED": 1}},
    refusals={"widen": {"a | b": 2}},
    optimizers={"adam": 9},
    events={"train": 7},
    findings=(
        Finding(
            "crash",
            "crash: KeyError in a.py b",
            "crash: KeyError: 7\nmore",
            3,
            SCENARIO,
            2,
            "found-1",
        ),
    ),
    seconds=61.4,
    ended="time is up",
)


def test_a_line():
    assert str(REPORT) == (
        "9 models, 6 passes applied (PROVED 5, TESTED 1), 2 refused, 61 s, seed 4, time is up: "
        "1 found"
    )


def test_a_page():
    page = REPORT.to_markdown()
    assert "- **crash**, 2 times, first in case 3: KeyError: 7\n  (`found-1/`)" in page
    assert "| pass | PROVED | TESTED | nothing to do | refused |" in page
    assert "| merge | 0 | 1 | 3 | 0 |" in page
    assert "| widen | 2 | a \\| b |" in page
    assert "| adam | 9 |" in page
    assert "None." not in page


def test_json():
    data = json.loads(REPORT.to_json())
    assert data["passes"]["widen"] == {"PROVED": 5, "refused": 2}
    assert data["findings"][0]["scenario"]["actions"] == [
        {"number": 0, "place": 0, "what": "widen"}
    ]
