"""The command line as a whole."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from morphir.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--hmtl", "x"], "unrecognized arguments: --hmtl x"),
        (["--depth", "-3"], "'-3', expected a number of levels from 0 on"),
        (["--depth", "two"], "'two', expected a number of levels from 0 on"),
    ],
)
def test_wrong_options_point_to_the_help(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as stopped:
        main(["show", "mymodels:Net", *options])
    assert stopped.value.code == 2
    found = capsys.readouterr().err
    assert message in found
    assert "--help" in found


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    assert "morphir show MODEL" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["show", "--help"])
    assert "morphir show mypackage.nets:ActorCritic" in capsys.readouterr().out


@pytest.mark.slow
def test_as_a_program():
    command = [sys.executable, "-m", "morphir", "show", "mymodels:Net"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "WiderPass(at='0', width=16)" in found.stdout
    assert "\x1b" not in found.stdout
