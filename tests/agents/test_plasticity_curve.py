import numpy as np
import pytest
from PIL import Image

from morphir_agents.plasticity_curve import draw_plasticity, measured_networks


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


def test_a_network_that_has_diverged_still_has_a_picture(tmp_path):
    metrics = [_row(100), {**_row(200), "actor/rank": float("nan"), "actor/weight_norm": 1e300}]
    assert _pixels(tmp_path / "p.png", {"metrics": metrics, "growth": []}).shape[0] > 300
