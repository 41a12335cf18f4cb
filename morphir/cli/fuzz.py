"""`morphir fuzz`: random lives of random models, with an exit status for CI."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from morphir.errors import RefusalError
from morphir.ir.report import counted

if TYPE_CHECKING:
    from morphir.testing import FuzzReport

_ABOUT: Final = """\
Try random lives of random models. In each a small model (residuals, concatenations, shared and tied
layers, convolutions, norms, attention, recurrent layers, in three dtypes) is trained by a random
optimizer, changed by random passes at random places, saved and loaded.

Every verdict is held against evidence that the checkers have no part in: what is proved is run and
compared, gradients and moments are computed by the chain rule, a refusal must leave everything as
it was, to the bit. What was found is made small, and written so that it can be seen again.
"""
_EXAMPLES: Final = """\
passes:
  widen, widen-fresh, widen-gradmax, widen-heads, insert, shallower, inject, prune, prune-on-data,
  recycle, sparsify, mask-grow, mask-prune, reset, compact, merge, extend-input, extend-output

exit status:
  0  nothing was found
  1  something was found
  2  the arguments make no sense

Ctrl-C ends it early, with the report of what there is.

examples:
  morphir fuzz --minutes 60 --out found
  morphir fuzz --cases 200 --seed 7            the same 200 models each time, for CI
  morphir fuzz --cases 50 --passes widen,merge --checks certificate,field --stop-after 1
"""


def add_to(commands: Any) -> None:
    """Adds the command to a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "fuzz",
        help="try random passes on random models, and write what is wrong",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_run)
    length = parser.add_mutually_exclusive_group()
    length.add_argument(
        "--minutes", type=_number(float), metavar="N", help="how long (default: 10)"
    )
    length.add_argument(
        "--cases", type=_number(int), metavar="N", help="how many models, whatever time that takes"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="which models (default: 0)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="a new folder for report.md, report.json, and a folder for each finding with a script "
        "that shows it again",
    )
    parser.add_argument(
        "--passes",
        type=_names,
        metavar="A,B",
        help="the passes to choose from, listed below (default: all)",
    )
    parser.add_argument(
        "--checks",
        type=_names,
        metavar="A,B",
        help="what morphir.verify checks beside the evidence (default: certificate, field, "
        "float64, native, gradients, statistics, state_dict)",
    )
    parser.add_argument(
        "--stop-after", type=_number(int), metavar="K", help="stop after that many findings"
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, text.split(",")))


def _number(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        try:
            found = kind(text)
        except ValueError:
            found = 0
        if not 0 < found < float("inf"):
            raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
        return found

    return number


def _run(options: argparse.Namespace, console: Console) -> int:
    if find_spec("hypothesis") is None:
        raise RefusalError(
            "morphir fuzz needs hypothesis, which draws the models",
            suggestions=["pip install 'morphir[testing]'"],
        )
    from morphir.testing import fuzz

    named = ("passes", "checks")
    chosen = {name: getattr(options, name) for name in named if getattr(options, name) is not None}
    with _progress(console) as progress:
        task = progress.add_task("", total=options.cases or 60 * (options.minutes or 10))

        def watch(report: FuzzReport) -> None:
            done = report.cases if options.cases else report.seconds
            progress.update(task, completed=done, description=_line(report))

        report = fuzz(
            minutes=options.minutes,
            cases=options.cases,
            seed=options.seed,
            out=options.out,
            stop_after=options.stop_after,
            watch=watch,
            **chosen,
        )
    _print(report, options.out, console)
    return int(bool(report.findings))


def _progress(console: Console) -> Progress:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _line(report: FuzzReport) -> str:
    return (
        f"{counted(report.cases, 'model')}, {sum(report.applied.values())} passes applied, "
        f"{report.refused} refused, {len(report.findings)} found"
    )


def _print(report: FuzzReport, out: Path | None, console: Console) -> None:
    for each in report.findings:
        console.print(f"[bold red]{each.kind}[/], {counted(each.times, 'time')}: ", end="")
        console.print(each.text, highlight=False, markup=False)
        if out is not None and each.folder:
            where = out / each.folder / "scenario.py"
            console.print(f"  see it again: python {where}", highlight=False, markup=False)
    console.print(str(report), highlight=False, markup=False)
    if out is not None:
        console.print(f"wrote {out / 'report.md'}", highlight=False, markup=False)
