"""On how many real architectures a change is proved, refused for a true reason, or wrong.

    python benchmarks/coverage.py [--only PATTERN ...] [--changes inner trunk insert prune]
                                  [--seeds 0 1] [--limit 900] [--again]

Every architecture of `architectures/` is widened at an inner site and at a trunk, gets a layer in
its middle, and loses units that were made dead; `one_change.py` judges each in a process of its
own. Rows are written as they come, to `results/coverage.json`, and a second run goes on where the
first one stopped. Refusals are listed in `results/coverage_refusals.json`; whether each is true is
written there by hand, under `judged`, as "true: why" or "false: why", and kept. Ends with 1 if
anything is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatch
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

from architectures import ARCHITECTURES, MISSING
from coverage_report import draw, failures, summary, write_refusals
from one_change import CHANGES, is_available, run
from results import read_rows, write_results
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Case = tuple[str, str, int]


def main() -> int:
    """Runs what has not been run yet."""
    arguments = _arguments()
    console = Console()
    for family in MISSING:
        console.print(f"left out: {family}; see benchmarks/README.md", style="yellow")
    absent = [change for change in CHANGES if not is_available(change)]
    if absent:
        console.print(f"left out: {', '.join(absent)}: there is no such pass yet", style="yellow")
    rows = {_case(row): row for row in read_rows("coverage")}
    cases = [
        (name, change, seed)
        for name in arguments.names
        for change in arguments.changes
        if change not in absent
        for seed in arguments.seeds
    ]
    _run_all([c for c in cases if arguments.again or c not in rows], rows, arguments.limit, console)
    in_order = sorted(rows.values(), key=_order)
    write_results("coverage", in_order)
    console.print(summary(in_order), *failures(in_order), sep="\n", markup=False, highlight=False)
    console.print(write_refusals(in_order))
    console.print(f"written to benchmarks/results: coverage.json, {draw(in_order)}")
    return 1 if any(row["status"] == "wrong" for row in in_order) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", metavar="PATTERN", default=["*"], help="as 'timm/*'")
    parser.add_argument("--changes", nargs="+", choices=CHANGES, default=CHANGES)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--limit", type=float, default=900, help="seconds for one change")
    parser.add_argument("--again", action="store_true", help="run also what has been run")
    arguments = parser.parse_args()
    arguments.names = [
        name for name in ARCHITECTURES if any(fnmatch(name, each) for each in arguments.only)
    ]
    if not arguments.names:
        parser.error(f"--only matches none of {', '.join(ARCHITECTURES)}")
    return arguments


def _run_all(cases: Sequence[Case], rows: dict[Case, Any], limit: float, console: Console) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        task = progress.add_task("", total=len(cases))
        for case in cases:
            name, change, seed = case
            progress.update(task, description=f"{name} {change} {seed}")
            row = _run_apart(case, limit)
            rows[case] = row
            write_results("coverage", sorted(rows.values(), key=_order))
            line = f"{row['status']:<9} {name} {change} {seed}  {row.get('seconds', limit):.1f} s"
            reason = row.get("reason", "").partition("\n")[0]
            progress.console.print(f"{line}  {reason}", highlight=False, markup=False)
            progress.advance(task)


def _run_apart(case: Case, limit: float) -> dict[str, Any]:
    """The row of one change, made by a process of its own so that nothing of it stays."""
    name, change, seed = case
    context = get_context("forkserver")  # one process imports the libraries; each case forks it
    context.set_forkserver_preload(["one_change"])
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # which that process does not take over
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send_row, args=(theirs, case))
    process.start()
    theirs.close()
    row: dict[str, Any] = {"architecture": name, "change": change, "seed": seed}
    try:
        row = ours.recv() if ours.poll(limit) else {**row, "status": "timeout", "limit": limit}
    except EOFError:
        process.join()
        row = {**row, "status": "crashed", "reason": f"exit code {process.exitcode}"}
    process.kill()
    process.join()
    return row


def _send_row(connection: Connection, case: Case) -> None:
    connection.send(run(*case))


def _case(row: dict[str, Any]) -> Case:
    return row["architecture"], row["change"], row["seed"]


def _order(row: dict[str, Any]) -> tuple[int, int, int]:
    names = [*ARCHITECTURES]
    name = row["architecture"]
    place = names.index(name) if name in names else len(names)
    return place, CHANGES.index(row["change"]), row["seed"]


if __name__ == "__main__":
    sys.exit(main())
