import glob
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from morphir_agents import cli
from morphir_agents.comparison import compare
from morphir_agents.errors import ComparisonError
from morphir_agents.recipes import RECIPES
from tests.agents.comparison.written import NARROW, PENDULUM, write_run, write_seeds

ROOT = Path(__file__).resolve().parents[3]
QUIET = Console(quiet=True)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Runs of two kinds in `runs`, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_seeds(tmp_path / "runs", "a", PENDULUM, [[1.0, 2.0], [1.0, 4.0], [1.0, 9.0]])
    write_seeds(tmp_path / "runs", "b", NARROW, [[0.0, 1.0]])
    return Path("runs")


def test_runs_become_three_files_and_a_few_lines(runs, capsys):
    assert cli.main(["compare", "runs"]) == 0
    assert {path.name for path in Path("comparison").iterdir()} == {
        "comparison.json",
        "comparison.png",
        "comparison.md",
    }
    data = json.loads(Path("comparison/comparison.json").read_text())
    assert [cell["label"] for cell in data["cells"]] == [
        "network.widths 64 64",
        "network.widths 32",
    ]
    assert Path("comparison/comparison.png").read_bytes().startswith(b"\x89PNG")
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "network.widths 64 64: final return 5 (interquartile mean; 95 % interval: 2 to 9)" in shown
    )
    assert "Seeds per row: 1 to 3. With fewer than 3 there is no interval" in shown
    assert "comparison/comparison.md" in shown


def test_the_command_on_the_page_makes_the_same_page(runs):
    out = Path("some where")
    compare([runs], out, QUIET, by=["network.widths"], measures=[])
    page = (out / "comparison.md").read_text()
    (command,) = re.findall(r"(?m)^morphir-agents compare .*", page)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert cli.main(shlex.split(command)[1:]) == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.mark.parametrize("kind", ["png", "json", "md"])
def test_a_file_that_fails_half_way_is_as_before(runs, monkeypatch, kind):
    out, name = Path("out"), f"comparison.{kind}"
    compare([runs], out, QUIET)
    before, names = (out / name).read_bytes(), sorted(out.iterdir())
    write_text = Path.write_text

    def half(path):
        path.write_bytes(b"half of it")
        raise OSError("the disk is full")

    def write(path, text, **options):
        return half(path) if name in path.name else write_text(path, text, **options)

    if kind == "png":
        monkeypatch.setattr(Figure, "savefig", lambda _, path, **__: half(path))
    monkeypatch.setattr(Path, "write_text", write)
    with pytest.raises(ComparisonError, match=r"can't be written into out.*disk is full"):
        compare([runs / "a-seed0"], out, QUIET)
    assert (out / name).read_bytes() == before
    assert sorted(out.iterdir()) == names


def test_a_place_that_can_t_be_written_is_one_clear_error(runs):
    Path("file").write_text("")
    with pytest.raises(ComparisonError, match="Choose another --out"):
        compare([runs], Path("file"), QUIET)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to compare"),
        (["nowhere"], "nowhere is no run folder and holds none"),
        (["runs", "--by", "colour"], "there is no such field"),
        (["runs", "--measures", "colour"], "none of these runs has logged that"),
        (["runs", "other"], "different tasks"),
        (["runs", "--by", "network.widths", "runs/a-seed0"], "--by runs/a-seed0"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(runs, words, message, capsys):
    write_run(Path("other"), RECIPES["td3-halfcheetah"].config, [1.0])
    assert cli.main(["compare", *words]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert not Path("comparison").exists()


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", "--help"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in ("--by", "--measures", "--out", "critic/activated", "runs/td3-pendulum-*"):
        assert text in shown


def test_the_examples_in_documentation_and_help_work(tmp_path, capsys, monkeypatch):
    assert cli.main(["--help"]) == 0
    texts = [capsys.readouterr().out, cli._Compare.__doc__]
    texts += [(ROOT / name).read_text(encoding="utf8") for name in ("README.md", "spec/agents.md")]
    found = [re.findall(r"morphir-agents compare [^`\n]*/[^`\n#]*", text) for text in texts]
    assert all(found), "a text shows no example"
    monkeypatch.chdir(tmp_path)
    for name in ("td3-pendulum", "td3-halfcheetah"):
        for seed in range(3):
            config = replace(RECIPES[name].config, seed=seed)
            measures = {f"critic/{measure}": [0.1, 0.2] for measure in ("activated", "dormant")}
            write_run(Path(f"runs/{name}-seed{seed}"), config, [1.0, 2.0], measures)
    for command in (each for examples in found for each in examples):
        words = [path for word in shlex.split(command)[1:] for path in glob.glob(word) or [word]]
        assert cli.main(words) == 0, command
        assert Path("comparison/comparison.md").exists()
