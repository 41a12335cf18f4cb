"""Plans as tables: for terminals, notebooks and plain text."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from morphir.ir import AttributeChange
from morphir.planned.rows import Plan, PlannedModule, PlannedStage, PlannedTensor

_WIDE: Final = 4000  # nothing is wrapped in what is not a terminal
_POLARITY: Final = {"copy": "blue", "split": "dark_orange", "fresh": "green", "zero": "green"}


def plain(plan: Plan) -> str:
    """The table as plain text, whatever the terminal."""
    console = Console(file=io.StringIO(), width=_WIDE, color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(table(plan))
    return "\n".join(line.rstrip() for line in capture.get().splitlines())


def html(plan: Plan) -> str:
    """The table as preformatted HTML."""
    console = Console(
        file=io.StringIO(), width=_WIDE, record=True, force_jupyter=False, force_terminal=True
    )
    console.print(table(plan))
    return console.export_html(inline_styles=True, code_format="<pre>{code}</pre>")


def table(plan: Plan) -> RenderableType:
    """The plan, as rich prints it."""
    return Group(*_parts(plan))


def _parts(plan: Plan) -> Iterator[RenderableType]:
    yield Text.assemble((f"Plan for {plan.model}", "bold"), "; nothing was changed")
    for stage in plan.stages:
        yield Text()
        yield from _stage(stage)
    if plan.refusal is not None:
        yield Text()
        yield from (_indented(Text(passes, "bold"), 2) for passes in plan.refused)
        yield _indented(Text("refused", "bold red"), 4)
        yield _indented(Text(str(plan.refusal)), 6)
    else:
        yield Text()
        yield _indented(Text(_total(plan)), 2)
    for note in plan.notes:
        yield _indented(Text(f"note: {note}", "dim"), 2)


def _total(plan: Plan) -> str:
    after = plan.parameters + sum(stage.growth for stage in plan.stages)
    if after == plan.parameters:
        return f"{plan.parameters:,} parameters, as before"
    return f"{plan.parameters:,} parameters would become {after:,}"


def _stage(stage: PlannedStage) -> Iterator[RenderableType]:
    for text in stage.passes:
        first, *lines = text.splitlines()
        yield _indented(Text(first, "bold"), 2)
        yield from (_indented(Text(line.strip()), 4) for line in lines)
    if stage.on_copy:
        text = "planned on a copy on which the passes above were carried out"
        yield _indented(Text(text, "dim"), 4)
    for rows in (
        _tensors(stage.tensors),
        _attributes(stage.attributes),
        _modules("new module", stage.modules),
        _modules("module that goes", stage.removed),
    ):
        if rows is not None:
            yield Text()
            yield _indented(rows, 4)


def _tensors(tensors: Sequence[PlannedTensor]) -> Table | None:
    rows = [
        (each.name, _coloured(each.change), f"{each.op} in {each.module or 'forward'}", each.source)
        for each in tensors
    ]
    return _table(("tensor", "changes", "because of", "source"), rows)


def _attributes(attributes: Iterable[AttributeChange]) -> Table | None:
    rows = [
        (f"{each.module}.{each.name}".removeprefix("."), str(each.old), str(each.new))
        for each in attributes
    ]
    return _table(("attribute", "is", "becomes"), rows)


def _modules(title: str, modules: Iterable[PlannedModule]) -> Table | None:
    rows = [
        (
            each.name,
            each.after,
            each.where,
            each.law,
            ", ".join(f"{name} {type}" for name, type in each.parameters.items()),
        )
        for each in modules
    ]
    return _table((title, "runs after", "as", "law", "with"), rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> Table | None:
    """A table without lines; columns that are empty are left out."""
    if not rows:
        return None
    used = [any(row[index] for row in rows) for index in range(len(head))]
    found = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for index, name in enumerate(head):
        if used[index]:
            found.add_column(name, overflow="fold")
    for row in rows:
        cells = [cell for cell, is_used in zip(row, used, strict=True) if is_used]
        found.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    return found


def _coloured(change: str) -> Text:
    text = Text()
    for is_word, letters in groupby(change, str.isalpha):
        word = "".join(letters)
        text.append(word, _POLARITY.get(word, "") if is_word else "")
    return text


def _indented(what: RenderableType, by: int) -> Padding:
    return Padding(what, (0, 0, 0, by), expand=False)
