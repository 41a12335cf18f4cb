import pytest
from matplotlib.figure import Figure

from morphir_agents.marks import mark_events


@pytest.mark.parametrize(("events", "lines"), [(0, 0), (1, 1), (40, 40), (41, 0), (900, 0)])
def test_events_are_marked_unless_they_are_too_many(events, lines):
    """Two of a step, such as growing and pruning, are one."""
    panels = Figure().subplots(1, 2)
    rows = [{"step": 10 * k, "kind": kind} for k in range(events) for kind in ("grow", "prune")]
    mark_events(panels, rows)
    for axes in panels:
        assert [line.get_xdata()[0] for line in axes.lines] == [10 * k for k in range(lines)]
        assert len(axes.get_legend_handles_labels()[0]) == min(lines, 1)
