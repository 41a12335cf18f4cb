"""FUZZ-6: a run is the same each time, and what it finds is small and can be seen again."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from morphir import DeeperPass
from morphir.errors import RefusalError, StorageError
from morphir.testing import FuzzReport, fuzz
from morphir.testing.fuzzing import running
from morphir.transform import transform

QUICK: dict[str, Any] = {"passes": ("widen", "insert"), "checks": ("certificate",)}


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that fails."""

    def failing(model: Any, pass_: Any, **options: Any) -> Any:
        if isinstance(pass_[0], DeeperPass):
            raise KeyError("no such value")
        return transform(model, pass_, **options)

    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", failing)


def without_time(report: FuzzReport) -> FuzzReport:
    return replace(report, seconds=0.0)


def test_fuzz_6_a_run_is_the_same_each_time():
    """FUZZ-6"""
    first, second, other = (fuzz(cases=4, seed=seed, **QUICK) for seed in (1, 1, 2))
    assert without_time(first) == without_time(second) != without_time(other)
    assert first.cases == 4
    assert not first.findings
    assert first.ended == "all cases tried"


def test_fuzz_6_what_is_found_is_small_and_told_once(bug: None, tmp_path: Path):
    """FUZZ-6"""
    report = fuzz(cases=8, out=tmp_path / "out", **QUICK)
    (finding,) = report.findings
    assert finding.kind == "crash"
    assert finding.times > 1
    assert finding.scenario.recipe.steps == ()
    assert [action.what for action in finding.scenario.actions] == ["insert"]
    assert "KeyError: 'no such value'" in finding.message
    folder = tmp_path / "out" / finding.folder
    assert {"scenario.py", "net.py", "message.txt"} <= {each.name for each in folder.iterdir()}
    assert json.loads((tmp_path / "out" / "report.json").read_text())["findings"][0]["times"] > 1
    assert "KeyError: 'no such value'" in (tmp_path / "out" / "report.md").read_text()


def test_fuzz_6_it_can_be_seen_again(bug: None, tmp_path: Path):
    """FUZZ-6: here, without the planted bug, it is gone"""
    report = fuzz(cases=8, out=tmp_path, stop_after=1, **QUICK)
    assert report.ended == "stopped after 1 finding"
    assert report.cases < 8
    script = tmp_path / report.findings[0].folder / "scenario.py"
    environment = {**os.environ, "PYTHONPATH": str(Path(running.__file__).parents[3])}
    command = [sys.executable, str(script)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout == "nothing was found: it is gone\n"


def test_an_application_that_fails_by_itself_is_written_as_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """TESTING-6, beside the scenario"""

    def failing(*arguments: Any, **options: Any) -> Any:
        raise KeyError("no such value")

    for place in ("fuzzing.life", "preserving"):
        monkeypatch.setattr(f"morphir.testing.{place}.transform", failing)
    report = fuzz(cases=8, out=tmp_path, stop_after=1, **QUICK)
    script = tmp_path / report.findings[0].folder / "application" / "repro.py"
    assert "assert_preserves(" in script.read_text()


def test_ctrl_c_ends_it_with_a_report(tmp_path: Path):
    def stop(report: FuzzReport) -> None:
        if report.cases == 2:
            raise KeyboardInterrupt

    report = fuzz(minutes=5, out=tmp_path, watch=stop, **QUICK)
    assert report.ended == "interrupted"
    assert "2 models" in (tmp_path / "report.md").read_text()


def test_time_is_a_limit():
    report = fuzz(minutes=1e-6, **QUICK)
    assert (report.cases, report.ended) == (1, "time is up")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"passes": ("widne",)}, r"passes=\('widne',\), expected some of 'widen'"),
        ({"passes": "widen"}, "passes='widen', expected"),
        ({"checks": ("proof",)}, r"checks=\('proof',\), expected some of"),
        ({"cases": 0}, "cases=0, expected a number above 0"),
        ({"stop_after": -1}, "stop_after=-1, expected"),
        ({"minutes": 1, "cases": 1}, "both given"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str):
    with pytest.raises(RefusalError, match=message):
        fuzz(**options)


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "mine").write_text("text")
    with pytest.raises(StorageError, match="is not empty"):
        fuzz(cases=1, out=tmp_path)
    with pytest.raises(StorageError, match="mine"):
        fuzz(cases=1, out=tmp_path / "mine" / "out")
