"""What is committed of a run is enough to draw it again."""

import json

from studies import data
from studies.running import Cell


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
