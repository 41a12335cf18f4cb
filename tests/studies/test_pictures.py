from matplotlib.image import imread

from studies.pictures import draw_visits
from studies.visits import Visit


def _visit(task: str, round_: int, end: float) -> Visit:
    return Visit(round_, task, None, (end,), (1000,), {})


def test_a_panel_for_each_method_is_drawn_and_what_did_not_run_is_left_out(tmp_path):
    run = [_visit("Pendulum-v1", 0, 1.0), _visit("a task without a version", 1, 0.5)]
    found = {"TD3": {0: run, 1: run}, "NE": {0: run}, "ReDo": {}}

    draw_visits(tmp_path / "all.png", found, lambda visit: visit.end, "score")

    assert (imread(tmp_path / "all.png")[..., :3] < 1.0).any()
    assert [file.name for file in tmp_path.iterdir()] == ["all.png"]
