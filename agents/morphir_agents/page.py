"""One self-contained HTML page per run: result, curve, growth with verdicts, and usage."""

from __future__ import annotations

import base64
import dataclasses
import json
from html import escape
from importlib.resources import files as package_files
from pathlib import Path
from statistics import median
from string import Template
from typing import TYPE_CHECKING, Any

from morphir.state.files import atomic_path
from morphir_agents.config import BaseRunConfig, to_json
from morphir_agents.folder import RunFolder

if TYPE_CHECKING:
    from morphir_agents.finish import Summary

__all__ = ["write_page"]

Row = dict[str, Any]


_USAGE = """\
import numpy as np, onnxruntime
session = onnxruntime.InferenceSession("policy.onnx")
# raw observations, any batch
(action,) = session.run(["action"], {"observation": observations})

morphir-agents resume FOLDER      # continues an interrupted run
tensorboard --logdir FOLDER"""


_LEFT_OUT = """\
<p>Of events in a row that only gave numbers and masks a lineage keeps only the last one (STATE-21).
All of them are in <a href="events.jsonl">events.jsonl</a>.</p>"""


def write_page(
    config: BaseRunConfig, folder: RunFolder, summary: Summary, rows: dict[str, list[Row]]
) -> None:
    """Write the page; images and data are embedded, it needs no other file and no network."""
    solves = config.env.kind == "room"
    cards = []
    for outcome in summary.evaluations:
        value = f"{outcome.success_rate:.0%} solved" if solves else f"{outcome.mean_return:,.0f}"
        episodes = f"{outcome.episodes} episodes{config.of_last_task}"
        cards.append((value, f"{outcome.policy} policy, {episodes}"))
    cards += [
        (
            f"{summary.hidden_layers} layers",
            f"up to {summary.hidden_width} units wide, {summary.parameters:,} parameters",
        ),
        *_changes(summary, config.growth_name),
        (f"{summary.steps:,}", f"steps in {summary.seconds:,.0f} s"),
    ]
    lineage = json.dumps(json.loads(folder.lineage.read_text()), indent=2)
    files = sorted(p.name for p in folder.path.iterdir() if p.is_file() and p != folder.page)
    template = package_files("morphir_agents").joinpath("page.html").read_text(encoding="utf-8")
    text = Template(template).substitute(
        title=escape(config.name),
        task=escape(config.title),
        seed=config.seed,
        cards="".join(
            f'<div class="card"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for v, n in cards
        ),
        curve=_embedded(folder.curve),
        plasticity=_plasticity(folder),
        growth=_growth(rows["growth"], rows["events"], config.growth_name),
        events=_events(rows["events"], summary),
        evaluations=_evaluations(rows["evaluations"], summary, solves),
        onnx=escape("\n".join(map(str, filter(None, (summary.onnx, summary.compacted))))),
        same=_same(summary),
        usage=escape(_USAGE),
        files="".join(f'<li><a href="{escape(name)}">{escape(name)}</a></li>' for name in files),
        config=escape(to_json(config)),
        left_out=_LEFT_OUT if rows["events"] else "",
        lineage=escape(lineage),
    )
    with atomic_path(folder.page) as file:
        file.write_text(text, encoding="utf-8")


def _changes(summary: Summary, name: str) -> list[tuple[str, str]]:
    """Cards about growth and about events; if there were only events, none about growth."""
    growth, events = summary.growth_events, summary.method_events
    cards = []
    if growth or not events:
        cards.append((_number(growth, name), f"{summary.growth_share:.2%}"))
    if events:
        cards.append((_number(events, "event"), f"{summary.method_share:.2%}"))
    return [(value, f"{share} of the training time") for value, share in cards]


def _sentence(line: str) -> str:
    return f"{line[0].upper()}{line[1:]}."


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def _same(summary: Summary) -> str:
    if not summary.onnx_same_actions:
        return "The actions of onnxruntime are NOT the module's."
    if "logits" in summary.onnx.outputs:
        return "onnxruntime chooses the same actions as the module."
    return "The actions of onnxruntime are the module's, up to rounding."


def _embedded(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()


def _plasticity(folder: RunFolder) -> str:
    if not folder.plasticity.exists():
        return ""
    return (
        '<h2>Plasticity</h2><img alt="Dormant and activated units, effective rank, norms, churn" '
        f'src="data:image/png;base64,{_embedded(folder.plasticity)}">'
    )


def _growth(growth: list[Row], events: list[Row], name: str) -> str:
    if not growth:
        return "" if events else "<h2>Growth</h2><p>This run kept its network.</p>"
    table = _table(
        ("step", "hidden layers", "units per layer", "parameters", "grade", "cost"),
        [
            (
                f"{row['step']:,}",
                _sizes(row, "layers"),
                _sizes(row, "width"),
                f"{row['parameters_before']:,} → {row['parameters_after']:,}",
                row["grade"],
                f"{row['milliseconds']:.1f} ms",
            )
            for row in growth
        ],
    )
    details = "".join(
        f"<details><summary>Step {row['step']:,}: the report</summary><pre>"
        f"{escape(chr(10).join(row['passes']))}\n\n{escape(row['report'])}</pre></details>"
        for row in growth
    )
    title = "New heads" if name == "new head" else "Growth"
    return f'<h2>{title}</h2><div class="table">{table}</div>{details}'


def _events(events: list[Row], summary: Summary) -> str:
    if not events:
        return ""
    kinds = dict.fromkeys((row["kind"], row["grade"]) for row in events)
    alike = [
        (kind, grade, [row for row in events if (row["kind"], row["grade"]) == (kind, grade)])
        for kind, grade in kinds
    ]
    table = _table(
        (
            *("event", "number", "grade", "weights begun", "ceased"),
            *("churn of the actor", "of the critic", "cost"),
        ),
        [
            (
                kind,
                f"{len(rows):,}",
                grade,
                f"{sum(row['began'] for row in rows):,}",
                f"{sum(row['ceased'] for row in rows):,}",
                f"{median(row['actor_churn'] for row in rows):.2g}",
                f"{median(row['critic_churn'] for row in rows):.2g}",
                f"{median(row['milliseconds'] for row in rows):.1f} ms",
            )
            for kind, grade, rows in alike
        ],
    )
    details = "".join(
        f"<details><summary>{escape(kind)} at step {rows[-1]['step']:,}, the last one: the report"
        f"</summary><pre>{escape(rows[-1]['report'])}</pre></details>"
        for kind, _, rows in alike
    )
    note = "<p>Churn (PLASTIC-4) and cost are medians.</p>"
    if summary.in_use:
        note += f"<p>{_sentence(summary.density.replace('->', '→'))}</p>"
    return f'<h2>Events of the method</h2><div class="table">{table}</div>{note}{details}'


def _sizes(row: Row, name: str) -> str:
    before, after = row.get(f"{name}_before"), row.get(f"{name}_after")
    if before is None:
        return ""  # a run of a version that could only deepen
    return f"{before}" if before == after else f"{before} → {after}"


def _evaluations(rows: list[Row], summary: Summary, solves: bool) -> str:
    task = {"task": rows[-1]["task"]} if rows and "task" in rows[-1] else {}
    final = [{"step": summary.steps, **task, **dataclasses.asdict(e)} for e in summary.evaluations]
    solved = ["solved"] if solves else []
    return _table(
        ("step", *task, "policy", "episodes", *solved, "return", "length"),
        [
            (
                f"{row['step']:,}" + (" (final)" if row in final else ""),
                *(row[name] for name in task),
                row["policy"],
                str(row["episodes"]),
                *([f"{row['success_rate']:.0%}"] if solves else []),
                f"{row['mean_return']:.3f}",
                f"{row['mean_length']:.1f}",
            )
            for row in [*rows, *final]
        ],
    )


def _table(head: tuple[str, ...], body: list[tuple[str, ...]]) -> str:
    def cell(name: str, value: str) -> str:
        if name == "grade":
            other = "" if value == "PROVED" else " other"
            return f'<td class="grade{other}">{escape(value)}</td>'
        return f"<td>{escape(value)}</td>"

    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        "<tr>" + "".join(cell(n, v) for n, v in zip(head, line, strict=True)) + "</tr>"
        for line in body
    )
    return f"<table><tr>{header}</tr>{lines}</table>"
