"""A reproduction is a folder in which the failure is seen again."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import morphir
from morphir import DeeperPass, MorphismPass, RefusalError, StorageError
from morphir.testing import (
    Case,
    PreservationError,
    Recipe,
    Step,
    assert_preserves,
    build,
    to_source,
    write_reproduction,
)
from morphir.testing.reproduction import typed
from tests.testing.third_party import SwapUnitsPass

ROOT = Path(__file__).resolve().parents[2]
RECIPE = Recipe((Step("linear", number=1), Step("relu")), "features", "random", "bfloat16", True)


def failure_of(module: torch.nn.Module) -> PreservationError:
    pass_ = SwapUnitsPass("linear1", seed=2, bug="forgets the readers")
    with pytest.raises(PreservationError) as caught:
        assert_preserves(pass_, module)
    return caught.value


def test_testing_6_the_script_ends_with_the_same_failure(tmp_path: Path):
    """TESTING-6: also of a module that was changed and trained since it was built"""
    net = build(RECIPE)
    inputs, entry_points = (torch.randn(3, 4).bfloat16(),), ("value",)
    options = {"example_inputs": inputs, "entry_points": entry_points}
    net = morphir.apply(net, DeeperPass("relu1", "residual"), **options)
    with torch.no_grad():
        net.linear1.weight[0, 0] = 0.75
    pass_ = SwapUnitsPass("linear1", seed=2, bug="forgets the readers")
    with pytest.raises(PreservationError) as caught:
        assert_preserves(pass_, net, **options, reproduction=tmp_path / "found")
    folder = tmp_path / "found"
    assert caught.value.__notes__ == [f"to see it again: python {folder / 'repro.py'}"]
    assert {path.name for path in folder.iterdir()} == {
        "repro.py", "net.py", "pass_under_test.py", "lineage.json", "versions.json",
        "report.json", "weights.safetensors", "inputs.safetensors",
    }  # fmt: skip
    assert {*json.loads((folder / "versions.json").read_text())} >= {"morphir", "torch"}
    command = [sys.executable, "repro.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1
    assert caught.value.reason in ran.stderr
    node, _, line = caught.value.where.partition("  # ")
    assert f"at {node}" in ran.stderr
    assert line.startswith("recipe_"), "which is a line of net.py there"
    assert str(caught.value.case) in ran.stderr


def test_what_the_pass_and_the_checkers_left_is_there(tmp_path: Path):
    case = Case(DeeperPass(at="head"), build(Recipe()), None, ("forward",), source="...")
    result = morphir.transform(
        torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU()), DeeperPass(at="1")
    )
    failure = PreservationError(case, 'a "quoted" reason', "", result.report, result.certificate)
    folder = write_reproduction(failure, tmp_path / "a" / "b").parent
    assert morphir.Report.from_json((folder / "report.json").read_text()) == result.report
    text = (folder / "certificate.json").read_text()
    assert morphir.Certificate.from_json(text) == result.certificate
    script = (folder / "repro.py").read_text()
    assert "from morphir.passes.deeper import DeeperPass" in script
    compile(script, "repro.py", "exec")


def test_testing_6_all_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """TESTING-6"""
    failure = failure_of(build(RECIPE))
    (tmp_path / "there").mkdir()
    with pytest.raises(StorageError, match="there exists already"):
        write_reproduction(failure, tmp_path / "there")

    def full(*arguments: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("morphir.testing.reproduction.save_file", full)
    with pytest.raises(StorageError, match="no space left"):
        write_reproduction(failure, tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_cannot_be_reproduced_is_refused_and_the_failure_is_still_raised(tmp_path: Path):
    @dataclass(frozen=True)
    class Local(MorphismPass):
        name: ClassVar[str] = "local"

        def rewrite(self, program, rewriter):
            raise KeyError

    case = Case(SwapUnitsPass("head"), torch.nn.Linear(2, 2), None, ("forward",))
    with pytest.raises(RefusalError, match="no source that builds this Linear"):
        write_reproduction(PreservationError(case, "wrong"), tmp_path / "new")
    local = Case(Local(), build(Recipe()), None, ("forward",), source=to_source(Recipe()))
    with pytest.raises(RefusalError, match="can't be imported elsewhere"):
        write_reproduction(PreservationError(local, "wrong"), tmp_path / "new")
    pass_ = SwapUnitsPass("0", bug="fails where it should refuse")
    with pytest.raises(PreservationError) as caught:
        assert_preserves(
            pass_, torch.nn.Sequential(torch.nn.Linear(2, 2)), reproduction=tmp_path / "new"
        )
    assert caught.value.__notes__[0].startswith("no reproduction was written: there is no source")
    assert not [*tmp_path.iterdir()]


def test_values_as_source():
    given: dict[str, torch.Tensor] = {}
    value = {"a": (torch.ones(2),), "b": [1.5, None, "x"], "c": -inf}
    text = typed(value, given)
    assert text == "{'a': (given['0'],), 'b': [1.5, None, 'x'], 'c': (-inf)}"
    assert torch.equal(eval(text, {"given": given, "inf": inf})["a"][0], torch.ones(2))
    with pytest.raises(RefusalError, match="a function can't be written as Python source"):
        typed(lambda: 0, given)
