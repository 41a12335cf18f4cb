"""Studies go on where they were stopped, and say which runs failed."""

import pytest

from benchmarks.results import commit
from studies import halfcheetah, running
from studies.running import Cell, run_all


def test_a_run_that_fails_is_named_and_what_is_finished_is_left_alone(tmp_path):
    done = tmp_path / "done"
    done.mkdir()
    (done / "summary.json").write_text("{}")
    cells = [Cell("done", ("no-such-recipe",)), Cell("broken", ("no-such-recipe",))]
    with pytest.raises(SystemExit, match=r"1 of 2 runs failed; see .*broken\.log"):
        run_all(cells, tmp_path, 2)
    assert "no-such-recipe" in (tmp_path / "broken.log").read_text()
    assert not (tmp_path / "done.log").exists()
    assert not cells[0].commits(tmp_path).exists()
    assert cells[1].commits(tmp_path).read_text() == f"{commit()}\n"
    run_all(cells[:1], tmp_path, 1)


def test_ctrl_c_says_how_to_go_on(tmp_path, monkeypatch):
    def stop(_cell, _folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_run", stop)
    with pytest.raises(SystemExit, match=r"Stopped\. The same command goes on"):
        run_all([Cell("a", ())], tmp_path, 1)


def test_runs_that_are_not_there_are_not_compared(tmp_path, monkeypatch):
    monkeypatch.setattr(halfcheetah, "FOLDER", tmp_path / "data")
    with pytest.raises(SystemExit, match=r"There is no run of this study in .*Leave out --report"):
        halfcheetah.main(report=True, runs=tmp_path)
    assert not (tmp_path / "data").exists()


def test_a_cell_says_how_it_is_run():
    assert Cell("a", ("td3-pendulum", "--seed", "3")).command == (
        "morphir-agents run td3-pendulum --seed 3"
    )
