import numpy as np
import pytest
from PIL import Image

from morphir_agents.curve import draw_curve, smooth


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
