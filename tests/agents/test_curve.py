import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from morphir_agents.curve import _draw_lines, draw_curve, smooth


def _rows():
    return {
        "metrics": [
            {"step": 100 * k, "episodes": k % 3, "success_rate": k / 10, "episode_return": 5.0 * k}
            for k in range(1, 10)
        ],
        "evaluations": [
            {"step": 500, "policy": policy, "success_rate": 0.5, "mean_return": 20.0}
            for policy in ("deterministic", "sampling")
        ],
        "growth": [
            {"step": 400, "layers_before": 1, "layers_after": 2, "grade": "PROVED"},
            {
                "step": 700,
                **{"layers_before": 2, "layers_after": 2, "width_before": 16, "width_after": 24},
                "grade": "PROVED",
            },
        ],
    }


def test_the_mean_is_weighted_by_episodes_and_forgets():
    assert smooth([1.0, 0.0, 0.0], [3, 1, 4], window=2) == pytest.approx([1.0, 0.75, 0.0])


@pytest.mark.parametrize("solves", [True, False])
def test_growth_points_are_drawn(tmp_path, solves):
    def green(rows):
        draw_curve(tmp_path / "curve.png", rows, "title", solves)
        pixels = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")).astype(int)
        assert pixels.shape[0] > 300
        return int(
            ((pixels[..., 1] - pixels[..., 0] > 40) & (pixels[..., 1] - pixels[..., 2] > 20)).sum()
        )

    with_growth = green(_rows())
    assert with_growth > 300
    assert green({**_rows(), "growth": []}) == 0


def test_a_run_without_a_finished_episode_still_has_a_picture(tmp_path):
    draw_curve(
        tmp_path / "curve.png", {"metrics": [], "evaluations": [], "growth": []}, "empty", True
    )
    assert (tmp_path / "curve.png").stat().st_size > 1000


def _tasks():
    """The rows of a run with three tasks, one of which is visited twice."""
    names = ["a", "a", "b", "b", "b", "c", "a", "a", "a"]
    rows = _rows()
    metrics = [
        {**row, "task": name, "episodes": 1}
        for row, name in zip(rows["metrics"], names, strict=True)
    ]
    judged = [{**rows["evaluations"][0], "step": 100 * k, "task": names[k - 1]} for k in (1, 3, 7)]
    return {"metrics": metrics, "evaluations": judged, "growth": []}


def test_tasks_have_panels_of_their_own(tmp_path):
    def picture(rows):
        draw_curve(tmp_path / "curve.png", rows, "title", False)
        pixels = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")).astype(int)
        blue = (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 2] - pixels[..., 1] > 30)
        return len(pixels), np.flatnonzero(blue.any(1))

    (one, _), (three, blue) = picture({**_rows(), "growth": []}), picture(_tasks())
    assert three > one
    assert (np.diff(blue) > 100).sum() >= 1  # curves in one panel and in another below


def test_lines_are_broken_where_another_task_was_learned_and_visits_are_marked():
    axes = Figure().subplots()
    _draw_lines(axes, _tasks(), "a", False)
    found = {
        kind: [list(line.get_xdata()) for line in axes.lines if line.get_linestyle() == kind]
        for kind in ("-", ":")
    }
    assert found["-"][:2] == [[100, 200], [700, 800, 900]]
    assert found[":"] == [[100, 100], [700, 700]]
    labels = ["training episodes", "evaluation, deterministic policy", "a visit begins"]
    assert axes.get_legend_handles_labels()[1] == labels  # once each


def test_where_a_method_acts_there_is_a_line(tmp_path):
    def picture(events):
        draw_curve(tmp_path / "curve.png", {**_tasks(), "events": events}, "title", False)
        pixels = np.asarray(Image.open(tmp_path / "curve.png").convert("RGB")).astype(int)
        ochre = (pixels[..., 0] - pixels[..., 2] > 40) & (pixels[..., 1] - pixels[..., 2] > 20)
        return int(ochre.sum())

    assert picture([{"step": 150}]) > 300 > picture([]) == 0
    assert picture([{"step": step} for step in range(150, 900)]) == 0


def _figure(monkeypatch, tmp_path, rows, solves=False):
    """The figure that is saved, drawn."""
    found = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: found.append(self) or save(self, *a, **k)
    )
    draw_curve(tmp_path / "curve.png", rows, "a title that is as long as those of cycles", solves)
    return found[0]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (_rows(), ["growth"]),
        ({**_tasks(), "growth": _rows()["growth"]}, ["a visit begins", "new head"]),
        (_tasks(), ["a visit begins"]),
    ],
)
def test_every_line_is_in_the_legend(monkeypatch, tmp_path, rows, expected):
    rows = {**rows, "events": [{"step": 150}]}
    figure = _figure(monkeypatch, tmp_path, rows)
    (legend,) = figure.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert len({*labels}) == len(labels)
    assert {*expected, "the method acts", "training episodes"} <= {*labels}
    assert ("growth" in labels) == ("growth" in expected)
    styles = {line.get_linestyle() for axes in figure.axes for line in axes.lines}
    assert styles == {line.get_linestyle() for line in legend.get_lines()}


def test_the_title_lies_on_no_other_text_and_the_legend_on_no_curve(monkeypatch, tmp_path):
    figure = _figure(monkeypatch, tmp_path, _tasks())
    title = figure.get_suptitle()
    assert title
    above = figure._suptitle.get_window_extent()
    for axes in figure.axes:
        assert not above.overlaps(axes.get_tightbbox())
        assert not figure.legends[0].get_window_extent().overlaps(axes.get_tightbbox())


@pytest.mark.parametrize("rows", [_rows(), _tasks()])
def test_no_curve_runs_along_the_frame(monkeypatch, tmp_path, rows):
    for axes in _figure(monkeypatch, tmp_path, rows).axes:
        drawn = [line for line in axes.lines if line.get_linestyle() == "-"]
        values = np.concatenate(
            [np.asarray(line.get_ydata()) for line in drawn if len(line.get_ydata())]
        )
        low, high = axes.get_ylim()
        assert values.max() < high - 0.1 * (high - low)
