import io

from rich.console import Console

from morphir_agents import display
from morphir_agents.display import Display


def _show(terminal, monkeypatch, seconds=0.0):
    monkeypatch.setattr(display, "_SECONDS_BETWEEN_LINES", seconds)
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    shown = Display(console, total=1000)
    shown.start(0)
    shown.show(500, "solved 42%")
    console.print("grew")
    shown.show(1000, "solved 99%")
    shown.stop()
    return out.getvalue()


def test_a_log_file_gets_plain_lines(monkeypatch):
    text = _show(False, monkeypatch)
    assert "500 / 1,000 steps  solved 42%" in text
    assert "grew" in text
    assert "\x1b" not in text


def test_a_log_file_gets_few_lines_but_the_last(monkeypatch):
    text = _show(False, monkeypatch, seconds=1e9)
    assert "42%" not in text
    assert "1,000 / 1,000 steps  solved 99%" in text


def test_a_terminal_gets_a_bar_that_ends_full(monkeypatch):
    text = _show(True, monkeypatch)
    assert "100%" in text
    assert "solved 99%" in text
