import json
from dataclasses import replace

import pytest

from morphir_agents.comparison.runs import Curve, fields_of, find_runs
from morphir_agents.errors import ComparisonError, RunFolderError
from morphir_agents.recipes import RECIPES
from tests.agents.comparison.written import PENDULUM, write_run, write_seeds


def test_a_run_is_what_its_folder_says(tmp_path):
    path = write_run(
        tmp_path / "a", replace(PENDULUM, seed=4), [1.0, 3.0], {"critic/rank": [5.0, 7.0]}
    )
    (run,) = find_runs([path])
    assert (run.recipe, run.seed, run.task) == ("td3-pendulum", 4, "Pendulum-v1")
    assert run.fields["network.widths"] == [64, 64]
    assert run.fields["td3.discount"] == 0.98
    assert run.returns == Curve((7_500, 15_000), (1.0, 3.0))
    assert run.measured("critic/rank") == Curve((7_500, 15_000), (5.0, 7.0))
    assert run.measured("nothing") == Curve((), ())
    assert run.finished


def test_runs_are_found_in_folders_once_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = write_seeds(tmp_path / "runs", "x", PENDULUM, [[1.0], [2.0]])
    (tmp_path / "runs" / "notes").mkdir()
    given = [first, tmp_path / "runs", (tmp_path / "runs").relative_to(tmp_path)]
    assert [run.seed for run in find_runs(given)] == [0, 1]
    assert [run.folder.resolve() for run in find_runs(given)] == [first, second]


def test_a_run_under_way_is_read_up_to_its_last_whole_line(tmp_path):
    path = write_run(tmp_path / "a", PENDULUM, [1.0, 2.0, 3.0], {"critic/rank": [5.0, 6.0, 7.0]})
    for name in ("evaluations", "metrics"):
        file = path / f"{name}.jsonl"
        file.write_text(file.read_text()[:-20])
    (run,) = find_runs([path])
    assert run.returns == Curve((5_000, 10_000), (1.0, 2.0))
    assert run.measured("critic/rank").values == (5.0, 6.0)
    assert not run.finished


def test_only_the_deterministic_policy_counts(tmp_path):
    path = write_run(tmp_path / "a", RECIPES["ant"].config, [1.0, 2.0])
    with (path / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({"step": 9, "policy": "sampling", "mean_return": 99.0}) + "\n")
    (run,) = find_runs([path])
    assert run.returns.values == (1.0, 2.0)


def test_what_is_no_number_is_left_out_of_a_measure(tmp_path):
    measures = {"x": [1.0, None, float("nan"), "text", 5]}
    (run,) = find_runs([write_run(tmp_path / "a", PENDULUM, [1.0] * 5, measures)])
    assert run.measured("x") == Curve((3_000, 15_000), (1.0, 5))


def test_a_run_of_another_machine_s_device_can_be_read(tmp_path):
    path = write_run(tmp_path / "a", PENDULUM, [1.0])
    tree = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**tree, "device": "xpu:7"}))
    (run,) = find_runs([path])
    assert run.fields == {**fields_of(PENDULUM), "device": "xpu:7"}


def test_what_can_t_be_compared_is_named(tmp_path):
    with pytest.raises(ComparisonError, match="nothing to compare"):
        find_runs([])
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(RunFolderError, match=rf"{path} is no run folder and holds none"):
            find_runs([path])
    empty = write_run(tmp_path / "empty", PENDULUM, [1.0])
    (empty / "evaluations.jsonl").write_text("")
    with pytest.raises(ComparisonError, match=r"empty has no evaluation.*after 1,000 steps"):
        find_runs([empty])
    (empty / "evaluations.jsonl").unlink()
    with pytest.raises(ComparisonError, match="empty has no evaluation"):
        find_runs([empty])
    for text in ("nonsense", "[1]", '{"algorithm": "td3"}'):
        (empty / "config.json").write_text(text)
        with pytest.raises(RunFolderError, match=r"config\.json can't be read"):
            find_runs([empty])
