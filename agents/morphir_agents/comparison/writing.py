"""From run folders to three files: `comparison.json`, `.png` and `.md`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from morphir import StorageError
from morphir.state.files import atomic_path
from morphir_agents.comparison.cells import sort_into_cells
from morphir_agents.comparison.picture import draw_comparison
from morphir_agents.comparison.report import as_markdown, cautions, number, range_of, tasks_of
from morphir_agents.comparison.results import as_data, evaluate_cells
from morphir_agents.comparison.runs import find_runs
from morphir_agents.errors import ComparisonError

__all__ = ["compare"]


def compare(
    folders: Sequence[Path],
    out: Path,
    console: Console,
    by: Sequence[str] = (),
    measures: Sequence[str] = (),
) -> None:
    """Write the comparison; each file whole or not at all, and none unless all can be computed.

    Args:
        folders: Run folders, and folders that hold some.
        out: Where the files go.
        console: Where the results are shown as well.
        by: The fields of the configuration that tell cells apart; by default, those that differ.
        measures: Columns of the metrics that get panels of their own.

    Raises:
        AgentsError: The runs can't be read, or not be compared like this.
    """
    results = evaluate_cells(sort_into_cells(find_runs(folders), by), measures)
    words = ["morphir-agents", "compare", *map(str, folders), "--out", str(out)]
    words += ["--by", *by] if by else []
    words += ["--measures", *measures] if measures else []
    page = as_markdown(results, shlex.join(words))
    data = {"arguments": words[1:], "cells": as_data(results)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        draw_comparison(out / "comparison.png", results, tasks_of(results))
        for name, text in (("json", json.dumps(data) + "\n"), ("md", page)):
            with atomic_path(out / f"comparison.{name}") as file:
                file.write_text(text, encoding="utf8")
    except (OSError, StorageError) as error:
        raise ComparisonError(
            f"The comparison can't be written into {out}: {error}. Choose another --out."
        ) from error
    for result in results:
        console.print(
            f"{result.cell.label}: final return {number(result.final.iqm)} (interquartile mean; "
            f"95 % interval: {range_of(result.final)})",
            highlight=False,
            markup=False,
        )
    for text in (*cautions(results), f"Everything about this comparison: {out / 'comparison.md'}"):
        console.print(text.replace("**", ""), highlight=False, markup=False)
