"""The files around the code agree with each other."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import morphir

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def test_ci_runs_the_command_that_the_readme_shows_for_testing():
    blocks = re.findall(r"(?ms)^```\w*\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf8"))
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    shown = {line for line in lines if re.fullmatch(r"make test|.*\bpytest\b.*", line)}
    assert shown, "README.md shows no test command in a fenced block: show `make test`"
    ran = set((ROOT / ".ci" / "run").read_text(encoding="utf8").splitlines())
    assert shown <= ran, f"README.md says {sorted(shown - ran)}, which .ci/run does not run"


def test_every_requirement_is_pinned_to_a_version_that_satisfies_it():
    text = (ROOT / "constraints.txt").read_text(encoding="utf8")
    pins = dict(re.findall(r"(?m)^([\w.-]+)==(\S+)$", text))
    pins = {canonicalize_name(name): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"].values()
    wanted = [Requirement(line) for lines in (PROJECT["dependencies"], *extras) for line in lines]
    wrong = [
        str(requirement)
        for requirement in wanted
        if requirement.name != PROJECT["name"]
        and not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ]
    assert not wrong, f"constraints.txt has no pin, or another, for {wrong}"


def test_the_package_has_the_version_of_the_project():
    assert morphir.__version__ == PROJECT["version"]
