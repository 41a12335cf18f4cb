"""What is committed of a run is enough to draw it again, and has the figures that pages cite."""

import json
from pathlib import Path

from studies import data
from studies.running import Cell

ROOT = Path(__file__).resolve().parents[2]
SUMMARY = {
    "steps": 20,
    "seconds": 12.3456789,
    "parameters": 99,
    "method_events": 3,
    "method_share": 0.0123456789,
    "evaluations": [{"policy": "deterministic", "episodes": 4, "mean_return": -1.23456789}],
    "onnx": {
        "path": "/home/somebody/policy.onnx",
        "size": 1000,
        "metadata": {
            "morphir_version": "1", "torch_version": "2", "onnxruntime_version": "3", "more": "4",
        },
    },
    "compacted": {"parameters": [7, 9], "microseconds": {"1": [9.9, 10.0]}},
}  # fmt: skip


def test_what_is_written_is_read_again_and_unfinished_runs_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "FOLDER", tmp_path / "data")
    runs = tmp_path / "runs"
    for name in ("a", "b"):
        (runs / name).mkdir(parents=True)
        rows = {
            "evaluations": {"step": 5, "task": "T", "mean_return": 1.23456789, "episodes": 3},
            "metrics": {"step": 5, "episode_return": -2.0, "critic/dormant": 0.25, "other": 1},
        }
        for table, row in rows.items():
            (runs / name / f"{table}.jsonl").write_text(json.dumps(row) + "\n")
    (runs / "a" / "summary.json").write_text("{}")
    cells = [Cell(name, ("recipe", "--seed", "0")) for name in ("a", "b", "c")]
    data.write_data("study", cells, runs, ("critic/dormant", "actor/dormant"))
    (run,) = data.read_data("study")["runs"]
    assert (run["name"], run["command"]) == ("a", "morphir-agents run recipe --seed 0")
    assert run["evaluations"] == [{"step": 5, "task": "T", "mean_return": 1.2346}]
    assert run["log"] == [
        {"step": 5, "episode_return": -2.0, "critic/dormant": 0.25, "actor/dormant": None}
    ]


def test_of_a_summary_the_figures_are_kept_and_no_paths(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "timings.jsonl").write_text('{"step": 20, "time": 60.0}\n')
        if name != "b":
            (tmp_path / name / "summary.json").write_text(json.dumps(SUMMARY))
    (tmp_path / "a.commits").write_text("abc\ndef-dirty\n")
    data.write_summaries(tmp_path / "runs.json", [Cell(n, ("recipe",)) for n in "abc"], tmp_path)
    text = (tmp_path / "runs.json").read_text()
    first, second = json.loads(text)["runs"]
    assert first == {
        "name": "a",
        "command": "morphir-agents run recipe",
        "commits": ["abc", "def-dirty"],
        "ended": "1970-01-01 00:01 UTC",
        "versions": {"morphir": "1", "torch": "2", "onnxruntime": "3"},
        "steps": 20,
        "seconds": 12.346,
        "method_events": 3,
        "method_share": 0.012346,
        "last": {"episodes": 4, "mean_return": -1.2346},
        "onnx_bytes": 1000,
        "compacted": SUMMARY["compacted"],
    }
    assert (second["name"], second["commits"]) == ("c", []), "of old runs nobody knows"
    assert len(text.splitlines()) == 4, "a line for each run"


def test_the_page_has_the_figures_of_halfcheetahs_runs():
    runs = json.loads((ROOT / "studies" / "data" / "halfcheetah" / "runs.json").read_text())["runs"]
    page = " ".join((ROOT / "studies" / "README.md").read_text(encoding="utf8").split())
    of_ne = [run for run in runs if run["name"].startswith("NE ")]
    assert {f"{run['method_share']:.1%}" for run in of_ne} == {"1.5%"}
    assert "Events take 1.5 % of the time" in page
    compacted = [run["compacted"] for run in of_ne]
    sizes = " and ".join(f"{each['parameters'][0]:,}" for each in compacted)
    assert f"has {sizes} parameters in place of {compacted[0]['parameters'][1]:,}" in page
    kilobytes = " and ".join(f"{each['bytes'][0] / 1000:.1f}" for each in compacted)
    assert f"as ONNX {kilobytes} kB in place of {compacted[0]['bytes'][1] / 1000:.1f}" in page
    one, many = ([each["microseconds"][n] for each in compacted] for n in ("1", "256"))
    assert {round(time) for times in one for time in times} == {10}
    assert {round(time / 1000, 2) for times in many for time in times} == {0.17}
    assert "10 µs for one observation and 0.17 ms for 256" in page


def test_nothing_that_is_committed_says_where_it_was_made():
    for file in (ROOT / "studies" / "data").rglob("*.json"):
        assert '"/' not in file.read_text(), file
