"""`morphir verify`, as CI runs it: the exit status says it all."""

import json
from pathlib import Path

import pytest

from morphir.cli import main

OLD = """\
from torch import nn
def make():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
"""
SAME = OLD.replace("nn.ReLU()", "nn.Sequential(nn.ReLU(), nn.ReLU())")
OTHER = OLD.replace("nn.ReLU()", "nn.LeakyReLU()")
WIDER = OLD.replace("(4, 8)", "(4, 9)").replace("(8, 2)", "(9, 2)")


@pytest.fixture(autouse=True)
def files(models: Path) -> Path:
    for name, code in {"old": OLD, "same": SAME, "other": OTHER, "wider": WIDER}.items():
        (models / f"{name}.py").write_text(code, encoding="utf8")
    return models


def run(new: str, *options: str) -> int:
    return main(["verify", "old.py:make", f"{new}.py:make", "--inputs", "4x4", *options])


def test_equal_models_are_status_0(capsys: pytest.CaptureFixture[str]):
    assert run("old", "--min-grade", "PROVED") == 0
    assert capsys.readouterr().out.startswith("PROVED")
    assert run("same") == 0


def test_a_difference_is_status_1_and_is_named(capsys: pytest.CaptureFixture[str]):
    assert run("other") == 1
    printed = capsys.readouterr().out
    assert printed.startswith("REFUTED")
    assert "leaky_relu" in printed


def test_less_than_is_asked_for_is_status_1():
    assert run("old", "--checks", "float64") == 0
    assert run("old", "--checks", "float64", "--min-grade", "PROVED") == 1


def test_words_that_no_input_has_are_not_said_to_be_the_same(
    files: Path, capsys: pytest.CaptureFixture[str]
):
    code = "from torch import nn\ndef make():\n    net = nn.Embedding(9, 2)\n"
    (files / "words.py").write_text(f"{code}    return net\n", encoding="utf8")
    code += "    net.weight.data[5] += 1\n    return net\n"
    (files / "others.py").write_text(code, encoding="utf8")
    assert main(["verify", "words.py:make", "others.py:make", "--inputs", "2x4:int64"]) == 1
    assert capsys.readouterr().out.startswith("UNKNOWN")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--checks", "proof"], "checks=('proof',), expected some of 'certificate'"),
        (["--entry-points", "foward"], "no method 'foward'"),
    ],
)
def test_what_cannot_be_compared_is_status_2(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert run("old", *options) == 2
    assert message in capsys.readouterr().err


def test_the_report_is_written_as_json(files: Path):
    assert run("old", "--json", "report.json") == 0
    assert json.loads((files / "report.json").read_text(encoding="utf8"))["grade"] == "PROVED"


def test_another_shape_is_a_difference():
    assert run("wider") == 1
