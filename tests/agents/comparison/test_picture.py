from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from morphir_agents.comparison.cells import sort_into_cells
from morphir_agents.comparison.picture import draw_comparison
from morphir_agents.comparison.results import evaluate_cells
from morphir_agents.comparison.runs import find_runs
from tests.agents.comparison.written import PENDULUM, write_run, write_seeds


def results(folder, *measures):
    return evaluate_cells(sort_into_cells(find_runs([folder / "runs"])), measures)


def drawn(folder, *measures):
    draw_comparison(folder / "c.png", results(folder, *measures), "title")
    return np.asarray(Image.open(folder / "c.png").convert("RGB")).astype(int)


def blue(pixels):
    return int((pixels[..., 2] - pixels[..., 0] > 20).sum())


def test_three_seeds_have_a_band_and_two_have_none(tmp_path):
    counts = []
    for seeds in (2, 3):
        folder = tmp_path / str(seeds)
        write_seeds(folder / "runs", "a", PENDULUM, [[0.0, 0.0], [9.0, 9.0], [4.0, 4.0]][:seeds])
        counts.append(blue(drawn(folder)))
    assert 500 < counts[0] < counts[1] / 10


def test_every_measure_has_a_panel(tmp_path):
    write_run(tmp_path / "runs" / "a", PENDULUM, [1.0, 2.0], {"x": [1, 2], "y": [3, 4]})
    one, three = drawn(tmp_path), drawn(tmp_path, "x", "y")
    assert three.shape[0] > 2 * one.shape[0]
    assert blue(three) > 2 * blue(one)


def test_more_cells_than_colours_have_lines_of_their_own(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, *_, **__: figures.append(figure))
    for batch in range(1, 24):
        config = replace(PENDULUM, td3=replace(PENDULUM.td3, batch=batch))
        write_run(tmp_path / "runs" / f"{batch:02}", config, [0.0, batch])
    draw_comparison(tmp_path / "c.png", results(tmp_path), "title")
    (axes,) = figures[0].axes
    styles = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(styles) == 23
    assert len(axes.lines) == 2 * 23  # a seed and the middle of each
