"""`morphir show`, as a user runs it."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from morphir.cli import main

ROOT = Path(__file__).resolve().parent.parent
MODELS = """\
import torch
from torch import nn

class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.Dropout(), nn.ReLU(), nn.Linear(8, 2))

class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.actor, self.critic = nn.Linear(4, 2), nn.Linear(4, 1)
    def act(self, x):
        return self.actor(x)
    def get_value(self, x):
        return self.critic(x)

class Words(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Embedding(9, 6), nn.Linear(6, 3))

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(2, 3)
    def forward(self, x, y):
        return self.a(x) + self.b(y)

ready = Net()
number = 3
some = torch.zeros(2, 4)
some_act = {"act": (torch.zeros(2, 4),)}
def inputs():
    return {"forward": ((torch.zeros(2, 4),), {})}
def broken():
    raise ValueError("no such thing")
def nothing():
    return None
def conv():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))
"""


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mymodels.py").write_text(MODELS, encoding="utf8")
    (tmp_path / "broken_module.py").write_text("import not_there_at_all\n", encoding="utf8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mymodels", raising=False)
    return tmp_path


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mymodels"], "names nothing to import, expected package.module:name"),
        (["mymodels.Net"], "try: mymodels:Net"),
        (["mymodel:Net"], "there is no module 'mymodel'"),
        (["mymodels:Nets"], "try: mymodels:Net"),
        (["broken_module:Net"], "broken_module cannot be imported: No module named"),
        (["mymodels:number"], "is a int, expected an nn.Module"),
        (["mymodels:broken"], "mymodels:broken() failed: ValueError: no such thing"),
        (["mymodels:nothing"], "returned a NoneType, expected an nn.Module"),
        (["mymodels:Net", "--inputs", "2x4:flot32"], "torch has no dtype 'flot32'"),
        (["mymodels:Net", "--inputs", "2xq"], "--inputs 2xq is no shape"),
        (["mymodels:Net", "--inputs", "2x:int64"], "try: --inputs 2x16:int64"),
        (["mymodels:Net", "--inputs", "2,4"], "expected sizes with x between them"),
        (["mymodels:Net", "--inputs", "2x4", "--inputs", "2xq"], "--inputs 2xq is no shape"),
        (["mymodels:Net", "--inputs", "2x4", "--inputs", "mymodels:some"], "mixes shapes"),
        (["mymodels:Net", "--inputs", "2x5"], "error:"),
        (["mymodels:Net", "--at", "9"], "there is no module '9' in Net"),
        (["mymodels:Net", "--entry-points", "foward"], "no method 'foward'"),
        (["mymodels:Net", "--at", "9"], "try: --at 0\n  try: --at 3\n"),
        (["mymodels:Agent", "--entry-points", "get_valu"], "try: --entry-points get_value"),
        (["mymodels:Agent"], "try: --entry-points act\n  try: --entry-points get_value"),
        (["mymodels:Two", "--inputs", "2x4"], "try: --inputs SHAPE --inputs SHAPE with what"),
        (["mymodels:Net", "--inputs", "2x5"], "try: --inputs SHAPE with what it accepts"),
        (["mymodels:Net", "--inputs", "mymodels:number"], "--inputs is of type int, expected"),
        (["mymodels:Net", "--inputs", "mymodels:broken"], "mymodels:broken() failed: ValueError"),
        (
            ["mymodels:Agent", "--entry-points", "act,get_value", "--inputs", "mymodels:some_act"],
            "try: --inputs MODULE:NAME of {..., 'get_value': (x,)}",
        ),
        (
            ["mymodels:Net", "--inputs", "mymodels:some_act"],
            "--inputs has inputs for 'act', which is not among the entry points 'forward'\n"
            "  try: --entry-points forward,act",
        ),
        (["mymodels:Net", "--html", "no/such/folder/net.html"], "cannot write"),
    ],
)
def test_errors_say_what_to_do(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert run(*arguments) == 1
    found = capsys.readouterr()
    assert found.err.startswith("error: ")
    assert message in found.err
    assert not re.search(r"\bat=|example_inputs|entry_points", found.err), "options of the library"
    assert "Traceback" not in found.err


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
        run("mymodels:Net", *options)
    assert stopped.value.code == 2
    found = capsys.readouterr().err
    assert message in found
    assert "--help" in found


def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 0
    assert "morphir show MODEL" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        run("--help")
    assert "morphir show mypackage.nets:ActorCritic" in capsys.readouterr().out


@pytest.mark.slow
def test_as_a_program():
    command = [sys.executable, "-m", "morphir.cli", "show", "mymodels:Net"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "WiderPass(at='0', width=16)" in found.stdout
    assert "\x1b" not in found.stdout
