"""Pictures of a study have a panel for each method that has run."""

from matplotlib.figure import Figure
from matplotlib.image import imread

from studies.pictures import draw_visits
from studies.visits import Visit


def _run(end: float) -> list[Visit]:
    tasks = ("Pendulum-v1", "a task without a version")
    return [Visit(number, task, None, (end,), (1000,), {}) for number, task in enumerate(tasks)]


def test_what_did_not_run_has_no_panel_and_every_seed_is_drawn(tmp_path):
    wide, flat = {0: _run(0.0), 1: _run(1.0)}, {0: _run(0.5), 1: _run(0.5)}
    apart = {0: _run(0.3), 1: _run(0.7)}  # with the same middle

    def drawn(**found):
        draw_visits(tmp_path / "it.png", found, lambda visit: visit.end, "score")
        return imread(tmp_path / "it.png")

    three = drawn(TD3=wide, NE=flat, Reset=flat)
    assert (drawn(TD3=wide, NE=flat, Reset=flat, ReDo={}) == three).all()
    assert len(drawn(TD3=wide, NE=flat, Reset=flat, ReDo=flat)) > 1.5 * len(three)
    assert (drawn(TD3=wide, NE=apart, Reset=flat) != three).any()


def test_the_names_of_tasks_can_be_read(tmp_path, monkeypatch):
    figures, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **k: figures.append(self) or save(self, *a, **k)
    )
    found = {name: {0: _run(0.0)} for name in ("TD3", "NE", "Reset", "ReDo")}
    draw_visits(tmp_path / "it.png", found, lambda visit: visit.end, "score")
    panel = figures[0].axes[3]
    labels = panel.get_xticklabels()
    assert [label.get_text() for label in labels] == ["Pendulum", "a task without a version"]
    assert min(label.get_fontsize() for label in labels) >= 8
    assert panel.get_window_extent().height > 150
