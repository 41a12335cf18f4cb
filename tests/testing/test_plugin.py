"""The fixture, as a repository uses it that has just heard of it."""

import re
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]
ROOT = Path(__file__).resolve().parents[2]
TESTS = """\
import copy, torch
from torch import nn
from morphir import Grade

net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
x = torch.randn(3, 4)
proved = {"example_inputs": (x,), "min_grade": Grade.PROVED}

def test_a_copy(assert_same_function):
    assert assert_same_function(net, copy.deepcopy(net), **proved).grade is Grade.PROVED

def test_another_activation(assert_same_function):
    other = copy.deepcopy(net)
    other[1] = nn.LeakyReLU()
    assert_same_function(net, other, example_inputs=(x,))

def test_less_than_is_asked_for(assert_same_function):
    assert_same_function(net, copy.deepcopy(net), checks=["float64"], **proved)
"""


def test_one_line_in_conftest_and_one_in_a_test(pytester: pytest.Pytester):
    pytester.makeconftest('pytest_plugins = ["morphir.testing.plugin"]')
    pytester.makepyfile(TESTS)
    found = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    found.assert_outcomes(passed=1, failed=2)
    found.stdout.fnmatch_lines(["*expected TESTED or better, found:*", "*REFUTED: *"])
    found.stdout.fnmatch_lines(["*expected PROVED or better, found:*"])


def test_what_the_examples_show_for_ci_runs(pytester: pytest.Pytester):
    folder = ROOT / "examples" / "in_your_ci"
    for file in folder.glob("*.py"):
        (pytester.path / file.name).write_text(file.read_text(encoding="utf8"), encoding="utf8")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=2)
    workflow = (folder / "workflow.yml").read_text(encoding="utf8")
    commands = re.findall(r"- run: (.*)", workflow)
    (verify,) = (command for command in commands if command.startswith("morphir verify"))
    assert pytester.run(sys.executable, "-m", *verify.split()).ret == 0
