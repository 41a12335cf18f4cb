"""Tables of studies have a line for each method that has run, and the medians of its seeds."""

from studies.review import reviewed
from studies.tables import table_of_rounds, table_of_tasks
from studies.visits import Visit


def _run(*ends: float) -> list[Visit]:
    """Two tasks, as often as there are ends for both."""
    measures = {
        f"{who}/{what}": 0.25 for who in ("actor", "critic") for what in ("activated", "dormant")
    }
    return [
        Visit(number // 2, "AB"[number % 2], None, (end,), (1000,), measures)
        for number, end in enumerate(ends)
    ]


FOUND = {
    "TD3": {0: _run(0, 1, 2, 3, 4, 5), 1: _run(0, 1, 2, 3, 4, 7), 2: _run(0, 1, 2, 3, 6, 9)},
    "NE": {},
}


def test_rounds_are_the_means_of_their_visits_and_what_did_not_run_has_no_line():
    header, _, *lines = table_of_rounds(FOUND)
    assert [line.split(" | ")[:2] for line in lines] == [["| TD3", "3"]]
    columns = dict(zip(header.split(" | "), lines[0].split(" | "), strict=True))
    medians = {name: columns[name].partition(";")[0] for name in ("round 1", "round 2", "round 3")}
    assert medians == {"round 1": "0.50", "round 2": "2.50", "round 3": "5.50"}
    assert columns["dormant |"].startswith("0.25; 0.25 (0.25 to 0.25)")


def test_tasks_have_the_median_of_each_visit():
    assert table_of_tasks(FOUND)[2:] == ["| TD3 | 0.00, 2.00, 4.00 | 1.00, 3.00, 7.00 |"]


def test_how_much_is_reviewed_is_the_mean_of_the_rows_that_say_so():
    rows = [{"critic/review": value} for value in (None, 0.0, 0.5, 1.0)]
    assert reviewed({"log": rows}) == 0.5
