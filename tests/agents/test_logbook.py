import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from morphir_agents.errors import RunFolderError
from morphir_agents.logbook import Logbook, read_rows


def _fill(book, steps):
    for step in steps:
        book.add("metrics", {"step": step, "entropy": step / 10, "success_rate": None})
        book.add(
            "timings", {"step": step, "seconds": 1.0, "steps_per_second": 5.0, "time": 1e9 + step}
        )
    book.flush()


def _board(folder):
    accumulator = EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return [(event.step, round(event.value, 6)) for event in accumulator.Scalars("losses/entropy")]


def test_rows_come_back_and_reach_tensorboard(tmp_path):
    book = Logbook(tmp_path, -1)
    _fill(book, [10, 20])
    book.close()
    assert [row["step"] for row in read_rows(tmp_path / "metrics.jsonl")] == [10, 20]
    assert _board(tmp_path) == [(10, 1.0), (20, 2.0)]


def test_opening_cuts_everything_back_to_the_checkpoint(tmp_path):
    book = Logbook(tmp_path, -1)
    _fill(book, [10, 20, 30])
    book.close()
    before = (tmp_path / "metrics.jsonl").read_bytes()

    book = Logbook(tmp_path, 20)
    _fill(book, [30])
    book.close()

    assert (tmp_path / "metrics.jsonl").read_bytes() == before
    assert _board(tmp_path) == [(10, 1.0), (20, 2.0), (30, 3.0)]


def test_evaluations_have_their_own_tags(tmp_path):
    book = Logbook(tmp_path, -1)
    book.add(
        "evaluations", {"step": 5, "policy": "sampling", "success_rate": 0.5, "mean_return": 1.0}
    )
    book.close()
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert accumulator.Scalars("evaluation/sampling_success_rate")[0].value == 0.5


def test_measures_of_plasticity_have_a_page_of_their_own(tmp_path):
    book = Logbook(tmp_path, -1)
    book.add("metrics", {"step": 5, "critic/dormant": 0.25, "critic/dormant/1": 0.5})
    book.close()
    accumulator = EventAccumulator(str(tmp_path / "tensorboard"))
    accumulator.Reload()
    assert accumulator.Scalars("plasticity/critic/dormant")[0].value == 0.25
    assert accumulator.Scalars("plasticity/critic/dormant/1")[0].value == 0.5


def test_a_last_line_torn_by_a_kill_is_left_out(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1}) + "\n" + '{"step": 2, "entr')
    assert read_rows(path) == [{"step": 1}]
    assert read_rows(tmp_path / "missing.jsonl") == []


def test_a_damaged_line_in_the_middle_is_an_error(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 3}\n')
    with pytest.raises(RunFolderError, match=r"Line 2 of .*metrics.jsonl"):
        read_rows(path)
