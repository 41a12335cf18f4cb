"""Models and inputs that are named on the command line, and what is said of those that are not."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from morphir.cli import main


def run(*arguments: str) -> int:
    return main(["show", *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mymodels"], "names nothing to import, expected package.module:name"),
        (["mymodels.Net"], "try: mymodels:Net"),
        (["mymodel:Net"], "there is no module 'mymodel'"),
        (["mymodels:Nets"], "try: mymodels:Net"),
        (["nowhere.py:Net"], "there is no file 'nowhere.py'"),
        (["broken_module.py:Net"], "broken_module.py can't be run: ModuleNotFoundError"),
        (["mymodels.py:Nets"], "try: mymodels.py:Net"),
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
    assert run(*arguments) == 2
    found = capsys.readouterr()
    assert found.err.startswith("error: ")
    assert message in found.err
    assert not re.search(r"\bat=|example_inputs|entry_points", found.err), "options of the library"
    assert "Traceback" not in found.err


def test_files_of_one_name_in_two_folders_are_two_modules(
    models: Path, capsys: pytest.CaptureFixture[str]
):
    for folder, width in (("old", 5), ("new", 7)):
        (models / folder).mkdir()
        code = f"from torch import nn\ndef make():\n    return nn.Linear(3, {width})\n"
        (models / folder / "model.py").write_text(code, encoding="utf8")
        assert run(f"{folder}/model.py:make") == 0
        assert f"{width}" in capsys.readouterr().out
