"""What the coverage benchmark found: counts, a picture, and the refusals for a human to judge."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from one_change import CHANGES
from results import write_json
from rich.table import Table

Row = Mapping[str, Any]

_FOLDER: Final = Path(__file__).parent / "results"
_TARGETS: Final = {"inner": 1.0, "trunk": 0.7}  # least share PROVED
_NOT_RUN: Final = "not run"
_COLOURS: Final = {
    "PROVED": "#2f9e5f",
    "weaker": "#a6d8a8",
    "refused": "#f2c14e",
    "failed": "#6b4c9a",
    "wrong": "#d1343e",
    _NOT_RUN: "#e9ecef",
}
_INTRODUCTION: Final = (
    "# Refusals\n\n"
    "What was refused at the first request, or at the second: a residual block or a joint change,\n"
    "which the first refusal proposes. `ended` is the outcome after both.\n"
)
_WEAKER: Final = ("PROVED_ON_BOX", "TESTED", "EMPIRICAL", "NOT_PRESERVING", "UNKNOWN")


def outcome(row: Row | None) -> str:
    """Which of the coloured classes a row belongs to."""
    if row is None:
        return _NOT_RUN
    status = row["status"]
    if status in _WEAKER:
        return "weaker"
    return status if status in _COLOURS else "failed"


def summary(rows: Sequence[Row]) -> Table:
    """How the rows of each change ended."""
    classes = [each for each in _COLOURS if each != _NOT_RUN]
    table = Table("change", *classes, "share proved", "target", "worst difference")
    for change in CHANGES:
        chosen = [row for row in rows if row["change"] == change]
        counts = Counter(map(outcome, chosen))
        share = f"{counts['PROVED'] / len(chosen):.0%}" if chosen else ""
        target = f"{_TARGETS[change]:.0%}" if change in _TARGETS else ""
        worst = f"{max((row.get('difference', 0.0) for row in chosen), default=0.0):.1e}"
        numbers = (str(counts[each]) for each in classes)
        table.add_row(change, *numbers, share, target, worst)
    return table


def failures(rows: Sequence[Row]) -> Iterator[str]:
    """A line for every row that is neither proved nor refused."""
    for row in rows:
        if row["status"] not in ("PROVED", "refused"):
            where = f"{row['architecture']} {row['change']} {row['seed']}"
            yield f"{row['status']}: {where}: {row.get('reason', '')}".rstrip(": ")


def draw(rows: Sequence[Row]) -> str:
    """Draws a row of coloured cells per architecture; returns the name of the picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [*dict.fromkeys(row["architecture"] for row in rows)]
    seeds = sorted({row["seed"] for row in rows})
    known = {(row["architecture"], row["change"], row["seed"]): row for row in rows}
    figure, axes = pyplot.subplots(
        figsize=(3.2 + 0.45 * len(CHANGES) * len(seeds), 1.4 + 0.24 * len(names))
    )
    stride = len(seeds) + 0.25  # changes stand a little apart
    for y, name in enumerate(names):
        for k, change in enumerate(CHANGES):
            for i, seed in enumerate(seeds):
                colour = _COLOURS[outcome(known.get((name, change, seed)))]
                corner = (k * stride + i, y)
                axes.add_patch(pyplot.Rectangle(corner, 0.92, 0.86, color=colour, linewidth=0))
    axes.set_xticks([k * stride + len(seeds) / 2 for k in range(len(CHANGES))], CHANGES)
    axes.set_yticks([y + 0.43 for y in range(len(names))], names, fontsize=8)
    axes.set(xlim=(0, len(CHANGES) * stride), ylim=(len(names), 0))
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.xaxis.tick_top()
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colour) for colour in _COLOURS.values()]
    axes.legend(
        handles, _COLOURS, loc="upper center", bbox_to_anchor=(0.3, 0), ncols=3, frameon=False
    )
    figure.savefig(_FOLDER / "coverage.png", dpi=120, bbox_inches="tight")
    pyplot.close(figure)
    return "coverage.png"


def write_refusals(rows: Sequence[Row]) -> str:
    """Lists every refusal with what a human has said of it; returns how many are judged."""
    path = _FOLDER / "coverage_refusals.json"
    known = json.loads(path.read_text()) if path.exists() else []
    said = {_identity(each): each["judged"] for each in known}
    found = {_identity(each): each for row in rows for each in _refusals(row)}
    listed = [{**each, "judged": said.get(key, "")} for key, each in found.items()]
    write_json("coverage_refusals", listed)
    header = ("architecture", "change", "reason", "tries", "ended", "judged")
    lines = ["| " + " | ".join(header) + " |", "| --- " * len(header) + "|"]
    lines += ["| " + " | ".join(_cell(each[key]) for key in header) + " |" for each in listed]
    path.with_suffix(".md").write_text("\n".join([_INTRODUCTION, *lines]) + "\n")
    true = sum(each["judged"].startswith("true") for each in listed)
    unjudged = sum(not each["judged"] for each in listed)
    false = len(listed) - true - unjudged
    return f"{len(listed)} refusals: {true} true, {false} false, {unjudged} not judged yet"


def _refusals(row: Row) -> Iterator[dict[str, Any]]:
    final = [row] if row["status"] == "refused" else []
    for each in (*row.get("refused", ()), *final):
        yield {
            "architecture": row["architecture"],
            "change": row["change"],
            "pass": each["pass"],
            "reason": each["reason"],
            "tries": each["suggestions"],
            "ended": row["status"],
        }


def _identity(refusal: Row) -> tuple[str, ...]:
    """Another seed is the same refusal; another reason is another one, not judged yet."""
    return refusal["architecture"], refusal["change"], refusal["reason"]


def _cell(value: str | Sequence[str]) -> str:
    text = value if isinstance(value, str) else "; ".join(value)
    return " ".join(text.replace("|", "\\|").split())
