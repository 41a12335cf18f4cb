"""`morphir show`, as a user runs it."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from morphir.cli import main


def run(*arguments: str) -> int:
    return main(["show", *arguments])


@pytest.mark.parametrize("place", ["mymodels:Net", "mymodels:ready"])
def test_a_model_from_this_folder_is_printed(place: str, capsys: pytest.CaptureFixture[str]):
    before = [*sys.path]
    assert run(place) == 0
    text = capsys.readouterr().out
    assert "parameter 0.weight: f32[8 g1 copy, 4 f1]" in text
    assert "WiderPass(at='0', width=16)" in text
    assert sys.path == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["mymodels:Net", "--inputs", "3x4"],
        ["mymodels:Net", "--inputs", "3x4:float32"],
        ["mymodels:Net", "--inputs", "mymodels:some"],
        ["mymodels:Net", "--inputs", "mymodels:inputs"],
        ["mymodels:Words", "--inputs", "2x5:int64"],
        ["mymodels:Two", "--inputs", "2x4", "--inputs", "2x2"],
        ["mymodels:conv", "--inputs", "2x3x8x8"],
        ["mymodels:Agent", "--entry-points", "act,get_value", "--inputs", "2x4"],
    ],
)
def test_inputs_in_every_form(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]):
    assert run(*arguments) == 0
    found = capsys.readouterr()
    assert "f32[B" in found.out or "i64[B" in found.out
    assert not found.err


def test_train_mode_and_depth_and_one_module(capsys: pytest.CaptureFixture[str]):
    assert run("mymodels:Net", "--train", "--at", "0", "--depth", "0") == 0
    text = capsys.readouterr().out
    assert "Net in train mode" in text
    assert "  1 Dropout -> %1" in text
    assert "0 has g1, 8 units" in text


def test_what_was_not_run_says_what_to_give(capsys: pytest.CaptureFixture[str]):
    assert run("mymodels:conv") == 0
    assert "forward was not run, so its sizes are not known: give --inputs" in (
        capsys.readouterr().out
    )


def test_files_are_written_instead(models: Path, capsys: pytest.CaptureFixture[str]):
    assert run("mymodels:Net", "--svg", "net.svg", "--html", "net.html") == 0
    assert capsys.readouterr().out.splitlines() == ["wrote net.html", "wrote net.svg"]
    assert (models / "net.svg").read_text(encoding="utf8").startswith("<svg")
    assert (models / "net.html").read_text(encoding="utf8").startswith("<!doctype html>")


def test_every_entry_point_has_a_drawing_of_its_own(models: Path):
    arguments = ["--entry-points", "act,get_value", "--inputs", "2x4", "--svg", "agent.svg"]
    assert run("mymodels:Agent", *arguments) == 0
    assert {path.name for path in models.glob("*.svg")} == {"agent-act.svg", "agent-get_value.svg"}
