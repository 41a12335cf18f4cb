"""The files around the code agree with each other."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import morphir

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]


def blocks_of_readme(language: str) -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf8")
    return re.findall(rf"(?ms)^```{language}\n(.*?)^```", text)


def test_the_python_of_the_readme_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it saves a file
    names: dict[str, object] = {}
    blocks = blocks_of_readme("python")
    assert len(blocks) >= 3
    for block in blocks:
        exec(block, names)


def test_the_readme_shows_what_its_example_plans_and_refuses():
    example = runpy.run_path(str(ROOT / "examples" / "04_convnet_inplace.py"))
    net, image = example["Net"](), torch.randn(2, 3, 8, 8)
    wider = morphir.WiderPass(at="block.conv1", width=32)
    with pytest.raises(morphir.RefusalError) as refused:
        morphir.apply(net, morphir.DeeperPass(at="block.conv2"), example_inputs=(image,))
    printed = [str(morphir.plan(net, wider, example_inputs=(image,))), str(refused.value)]
    shown = [block.split() for block in blocks_of_readme("text")]
    for text in printed:
        assert text.split() in shown


def test_ci_runs_the_command_that_the_readme_shows_for_testing():
    blocks = blocks_of_readme(r"\w*")
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


def test_the_page_of_the_checkers_has_the_figures_that_were_measured():
    page = runpy.run_path(str(ROOT / ".ci" / "verify_report.py"))["page"]()
    text = (ROOT / "docs" / "verification.md").read_text(encoding="utf8")
    assert text == str(page), "run: python .ci/verify_report.py --page"


def test_a_script_that_fails_does_not_leave_old_figures_for_new_ones():
    script = runpy.run_path(str(ROOT / ".ci" / "verify_report.py"))["script"]
    script("-c", "pass")()
    with pytest.raises(SystemExit, match="ended with 3"):
        script("-c", "raise SystemExit(3)")()


def test_every_row_of_that_page_has_a_cell_in_each_column():
    text = (ROOT / "docs" / "verification.md").read_text(encoding="utf8")
    tables = [t.splitlines() for t in re.findall(r"(?m)(?:^\|.*\n)+", text)]
    assert tables
    assert all(len({row.count("|") for row in rows}) == 1 for rows in tables)
