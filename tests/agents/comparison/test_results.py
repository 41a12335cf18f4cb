import json
from dataclasses import replace

import pytest

from morphir_agents.comparison.cells import sort_into_cells
from morphir_agents.comparison.results import RETURN, as_data, evaluate_cells
from morphir_agents.comparison.runs import Curve, find_runs
from morphir_agents.errors import ComparisonError
from tests.agents.comparison.written import NARROW, PENDULUM, write_run, write_seeds


def results(folder, *measures):
    return evaluate_cells(sort_into_cells(find_runs([folder])), measures)


def test_figures_and_curves_of_literal_runs(tmp_path):
    returns = [[0.0, 10.0], [0.0, 20.0], [0.0, 60.0], [0.0, 1000.0], [-1000.0, 40.0]]
    write_seeds(tmp_path, "a", PENDULUM, returns)
    (result,) = results(tmp_path)
    assert result.finals == (10.0, 20.0, 60.0, 1000.0, 40.0)
    assert result.areas == (5.0, 10.0, 30.0, 500.0, -480.0)
    assert (result.final.median, result.final.iqm) == (40.0, pytest.approx(40.0))
    assert (result.area.median, result.area.iqm) == (10.0, pytest.approx(15.0))
    panel = result.panels[RETURN]
    assert [curve.values for curve in panel.curves] == [tuple(each) for each in returns]
    assert panel.middle.iqm == Curve((7_500, 15_000), (0.0, pytest.approx(40.0)))
    assert panel.middle.low[1] <= 40.0 <= panel.middle.high[1]
    assert (panel.middle.low[1], panel.middle.high[1]) == result.final.interval


def test_the_middle_is_only_where_all_seeds_are(tmp_path):
    paths = write_seeds(tmp_path, "a", PENDULUM, [[1.0, 2.0, 3.0]] * 3)
    lines = (paths[1] / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (paths[1] / "evaluations.jsonl").write_text("".join(lines[:2]))
    (result,) = results(tmp_path)
    assert result.panels[RETURN].middle.iqm.steps == (5_000, 10_000)
    assert [len(curve.steps) for curve in result.panels[RETURN].curves] == [3, 2, 3]


def test_two_seeds_have_a_middle_and_no_band(tmp_path):
    write_seeds(tmp_path, "a", PENDULUM, [[1.0], [2.0]])
    middle = results(tmp_path)[0].panels[RETURN].middle
    assert (middle.iqm.values, middle.low, middle.high) == ((1.5,), None, None)


def test_measures_have_panels_where_they_were_logged(tmp_path):
    for seed in range(2):
        measures = {"critic/rank": [seed, seed + 2]}
        write_run(tmp_path / f"a{seed}", replace(PENDULUM, seed=seed), [1.0, 2.0], measures)
    write_run(tmp_path / "b", NARROW, [1.0, 2.0])
    logged, silent = results(tmp_path, "critic/rank")
    assert list(logged.panels) == list(silent.panels) == [RETURN, "critic/rank"]
    assert logged.panels["critic/rank"].middle.iqm == Curve((7_500, 15_000), (0.5, 2.5))
    assert silent.panels["critic/rank"].middle.iqm == Curve((), ())
    with pytest.raises(ComparisonError, match=r"--measures colour.*They have: update, critic/rank"):
        results(tmp_path, "colour")


def test_the_data_have_every_curve_and_figure_and_survive_json(tmp_path):
    write_seeds(tmp_path, "a", PENDULUM, [[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]])
    (cell,) = json.loads(json.dumps(as_data(results(tmp_path))))
    assert (cell["label"], cell["recipe"], cell["settings"]) == ("td3-pendulum", "td3-pendulum", {})
    assert cell["final_return"] == {"median": 4.0, "iqm": 5.0, "interval": [2.0, 9.0]}
    assert cell["area"]["median"] == 3.5
    assert cell["curves"]["return"]["values"] == [3.0, 5.0]
    assert cell["curves"]["return"]["low"] == [1.0, 2.0]
    assert [run["seed"] for run in cell["runs"]] == [0, 1, 2]
    last = cell["runs"][2]
    assert last["curves"]["return"] == {"steps": [7_500, 15_000], "values": [5.0, 9.0]}
    assert (last["final_return"], last["area"], last["finished"]) == (9.0, 7.0, True)
    assert last["arguments"] == ["run", "td3-pendulum", "--seed", "2"]
    assert last["folder"] == str(tmp_path / "a-seed2")
