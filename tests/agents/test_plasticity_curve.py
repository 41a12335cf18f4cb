import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from morphir_agents.plasticity_curve import (
    _draw_churn,
    draw_plasticity,
    measured_networks,
)


def _row(step, networks=("actor", "critic")):
    row = {"step": step, "actor_loss": 1.0}
    for network in networks:
        row |= {f"{network}/{name}": step / 1000 for name in ("dormant", "activated", "dormant/1")}
        row |= {f"{network}/{name}": step for name in ("rank", "weight_norm", "gradient_norm")}
    return row


def _pixels(path, rows):
    draw_plasticity(path, rows, "title")
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_networks_are_those_with_the_columns():
    rows = [{"step": 1, "actor_loss": 0.0}, _row(2)]
    assert measured_networks(rows) == ["actor", "critic"]
    assert measured_networks(rows[:1]) == measured_networks([]) == []


@pytest.mark.parametrize("networks", [("actor",), ("actor", "critic")])
def test_growth_is_marked_in_every_panel(tmp_path, networks):
    def green(events):
        metrics = [{"step": 0}, *(_row(step, networks) for step in (100, 200, 300))]
        pixels = _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": events})
        found = (pixels[..., 1] - pixels[..., 0] > 40) & (pixels[..., 1] - pixels[..., 2] > 20)
        return int(found.sum())

    assert green([]) == 0
    assert green([{"step": 150}]) > 150 * len(networks)


def test_layers_that_come_later_are_drawn_from_there(tmp_path):
    def red(columns):
        metrics = [_row(100), _row(200), {**_row(300), **columns}, {**_row(400), **columns}]
        pixels = _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": []})
        return int((pixels[..., 0] - pixels[..., 1] > 60).sum())

    assert red({"actor/dormant/5": 0.9}) > red({}) + 20


def test_reviews_are_drawn_with_the_shares_of_the_critics(tmp_path):
    def orange(columns):
        metrics = [_row(100), *({**_row(step), **columns} for step in (200, 300, 400))]
        pixels = _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": []})
        red, green, blue = np.moveaxis(pixels, -1, 0)
        return int(((red - green > 60) & (green - blue > 20)).sum())

    assert orange({"critic/review": 0.9}) > orange({}) + 50


def test_a_network_that_has_diverged_still_has_a_picture(tmp_path):
    metrics = [_row(100), {**_row(200), "actor/rank": float("nan"), "actor/weight_norm": 1e300}]
    assert _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": []}).shape[0] > 300


def _events(count, kind="recycle"):
    return [
        {"step": 100 + 2 * k, "kind": kind, "actor_churn": 0.3, "critic_churn": 0.0}
        for k in range(count)
    ]


def test_churn_has_a_panel_if_there_were_events(tmp_path):
    """Each network's has the churn of that network, also in a run that has diverged."""

    def blue(events):
        metrics = [{"step": 0}, *({"step": s, "actor/dormant": 0.1} for s in (100, 200, 300))]
        pixels = _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": [], "events": events})
        found = (pixels[..., 2] - pixels[..., 0] > 60) & (pixels[..., 2] - pixels[..., 1] > 30)
        return len(pixels), int(found.sum())

    (without, none), (height, some) = blue([]), blue(_events(60))
    assert height > without
    assert none == 0 < some
    broken = [{**each, "actor_churn": float("nan")} for each in _events(2)]
    assert blue(broken)[0] == height


def test_churn_is_that_of_the_network_by_the_kind_of_event():
    axes = Figure().subplots()
    rows = [*_events(3), *_events(2, "prune")]
    _draw_churn(axes, rows, "actor")
    found = {line.get_label(): [*line.get_ydata()] for line in axes.lines}
    assert found == {"recycle": [0.3] * 3, "prune": [0.3] * 2}


def test_few_events_are_marked_in_every_panel(tmp_path):
    def ochre(count):
        metrics = [_row(step) for step in (100, 200, 300)]
        rows = {"metrics": metrics, "growth": [], "events": _events(count)}
        pixels = _pixels(tmp_path / "p.png", rows)
        found = (pixels[..., 0] - pixels[..., 2] > 40) & (pixels[..., 1] - pixels[..., 2] > 20)
        return int(found.sum())

    assert ochre(3) > 1_000 > 10 >= ochre(300)


def test_what_prunes_is_seen_where_something_grows():
    """Both have a churn of 0 at the same steps."""

    def pixels(kinds):
        figure = Figure(figsize=(3, 2), dpi=100)
        canvas = FigureCanvasAgg(figure)
        axes = figure.subplots()
        _draw_churn(axes, [row for kind in kinds for row in _events(4, kind)], "critic")
        axes.get_legend().remove()
        canvas.draw()
        drawn = np.asarray(canvas.buffer_rgba()).astype(int)
        return [_like(drawn, line.get_color()) for line in axes.lines]

    both = pixels(["grow", "prune"])
    assert len(both) == 2
    assert min(both) > 30


def _like(pixels, colour):
    """How many pixels have nearly this colour."""
    wanted = 255 * np.array(to_rgb(colour))
    return int((abs(pixels[..., :3] - wanted) < 60).all(-1).sum())


def test_it_says_what_lines_are_and_leaves_room_above_shares(monkeypatch, tmp_path):
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: found.append(self) or save(self, *a, **k)
    )
    rows = [{**_row(step), "actor/dormant": 1.0} for step in (100, 200)]
    draw_plasticity(tmp_path / "p.png", {"metrics": rows, "growth": []}, "title")
    assert found[0].get_suptitle() == "title\nbold: the whole network; thin: its layers"
    assert found[0].axes[0].get_ylim()[1] >= 1.08
