"""FUZZ-7: `morphir fuzz`, as CI runs it: the exit status says it all."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from morphir.cli import fuzz as command
from morphir.cli import main
from morphir.testing.fuzzing.requests import REQUESTS

QUICK = ["--passes", "widen,insert", "--checks", "certificate"]


def test_fuzz_7_nothing_found_is_status_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """FUZZ-7"""
    assert main(["fuzz", "--cases", "2", "--seed", "3", "--out", "found", *QUICK]) == 0
    printed = capsys.readouterr().out
    assert "2 models" in printed
    assert "seed 3, all cases tried: 0 found" in printed
    assert json.loads((tmp_path / "found" / "report.json").read_text())["cases"] == 2


def test_fuzz_7_a_finding_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """FUZZ-7"""

    def failing(*arguments: Any, **options: Any) -> Any:
        raise KeyError("no such value")

    monkeypatch.setattr("morphir.testing.fuzzing.life.transform", failing)
    arguments = ["--minutes", "5", "--stop-after", "1", "--out", "found"]
    assert main(["fuzz", *arguments, *QUICK]) == 1
    printed = capsys.readouterr().out
    assert re.search(r"crash, 1 time: \w.*KeyError: 'no such value'", printed)
    assert "see it again: python found/found-1/scenario.py" in printed
    assert "stopped after 1 finding: 1 found" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cases", "none"], "'none', expected a number above 0"),
        (["--minutes", "-1"], "'-1', expected a number above 0"),
        (["--minutes", "1", "--cases", "1"], "not allowed with argument"),
    ],
)
def test_fuzz_7_arguments_that_make_no_sense_are_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    """FUZZ-7"""
    with pytest.raises(SystemExit) as stopped:
        main(["fuzz", *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--passes", "widne"], "expected some of 'widen'"),
        (["--checks", "proof"], "expected some of 'certificate'"),
        (["--out", "."], "is not empty"),
    ],
)
def test_fuzz_7_so_are_names_that_there_are_not(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    """FUZZ-7"""
    assert main(["fuzz", "--cases", "1", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_fuzz_7_without_hypothesis_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """FUZZ-7"""
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main(["fuzz", "--cases", "1"]) == 2
    assert "pip install 'morphir[testing]'" in capsys.readouterr().err


def test_help_names_all_passes(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["fuzz", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert ", ".join(REQUESTS) in text
