from dataclasses import replace

import pytest

from morphir_agents.comparison.cells import sort_into_cells
from morphir_agents.comparison.report import as_markdown, cautions, number
from morphir_agents.comparison.results import evaluate_cells
from morphir_agents.comparison.runs import find_runs
from morphir_agents.config import RunConfig
from tests.agents.comparison.written import NARROW, PENDULUM, write_run, write_seeds


def results(folder, *measures, by=()):
    return evaluate_cells(sort_into_cells(find_runs([folder]), by), measures)


def test_the_table_has_a_row_for_each_cell(tmp_path):
    write_seeds(tmp_path, "a", PENDULUM, [[-1.0], [-2.5], [-4000.0]])
    write_seeds(tmp_path, "b", NARROW, [[7.0], [8.0]])
    page = as_markdown(results(tmp_path), "morphir-agents compare runs")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2:] == [
        "| network.widths 64 64 | 3 (0, 1, 2) | -2.5 | -1,334 | -4,000 to -1 "
        "| -2.5 | -1,334 | -4,000 to -1 |",
        "| network.widths 32 | 2 (0, 1) | 7.5 | 7.5 | none | 7.5 | 7.5 | none |",
    ]
    assert page.startswith("# Comparison: Pendulum-v1\n")
    assert "```sh\nmorphir-agents compare runs\n```" in page


def test_every_run_has_the_command_that_makes_it_again(tmp_path):
    write_seeds(tmp_path, "a", NARROW, [[1.0], [2.0]])
    page = as_markdown(results(tmp_path), "")
    for seed in range(2):
        line = f"morphir-agents run td3-pendulum --network.widths 32 --seed {seed}"
        assert line in page.splitlines()


def test_a_run_of_no_recipe_says_so_where_its_command_would_be(tmp_path):
    path = write_run(tmp_path / "a", RunConfig(), [1.0])
    lines = as_markdown(results(tmp_path), "").splitlines()
    assert f"# no options of a recipe give {path / 'config.json'}" in lines
    assert not any(line.startswith("morphir-agents run") for line in lines)


@pytest.mark.parametrize(
    ("seeds", "says", "silent"),
    [
        ((1,), ["Seeds per row: 1.", "fewer than 3"], ["fewer than 10"]),
        ((2, 4), ["Seeds per row: 2 to 4.", "fewer than 3", "fewer than 10"], []),
        ((5,), ["Seeds per row: 5.", "too narrow"], ["fewer than 3"]),
        ((12,), ["Seeds per row: 12."], ["fewer"]),
    ],
)
def test_how_few_seeds_there_are_is_said_first(tmp_path, seeds, says, silent):
    for count, config in zip(seeds, (PENDULUM, NARROW), strict=False):
        write_seeds(tmp_path, str(count), config, [[1.0]] * count)
    (first,) = cautions(results(tmp_path))
    for text in says:
        assert text in first
    for text in silent:
        assert text not in first


def test_what_was_not_finished_not_logged_or_pooled_is_said(tmp_path):
    write_run(tmp_path / "a", PENDULUM, [1.0], {"x": [1.0]})
    path = write_run(tmp_path / "b", replace(PENDULUM, threads=2), [1.0, 2.0, 3.0])
    rows = (path / "evaluations.jsonl").read_text().splitlines(keepends=True)
    (path / "evaluations.jsonl").write_text("".join(rows[:2]))
    _, unfinished, unmeasured = cautions(results(tmp_path, "x"))
    assert f"{path} (10,000 of 15,000 steps)" in unfinished
    assert unmeasured.startswith("x was not logged by every run of threads 2")
    _, _, pooled, _ = cautions(results(tmp_path, "x", by=["td3.batch"]))
    assert "The runs of td3.batch 128 also differ in threads" in pooled


@pytest.mark.parametrize(
    ("value", "text"),
    [(-1234.5, "-1,234"), (12345.678, "12,346"), (0.98765432, "0.9877"), (-114.25, "-114.2")],
)
def test_numbers_are_short(value, text):
    assert number(value) == text
