"""`morphir verify`: says whether two models compute the same, with an exit status for CI."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console

from morphir.cli.loading import (
    add_inputs,
    add_model,
    entry_points_of,
    importing,
    inputs_of,
    model_of,
)
from morphir.ir import Grade
from morphir.state.files import atomic_path
from morphir.verify import CHECKS
from morphir.verify import verify as compare

_ABOUT: Final = """\
Compare two models with up to three checkers that share next to nothing: a proof about their graphs,
exact arithmetic modulo random primes, and runs in float64 on adversarial inputs.

Both are built with the same random seed. If their weights are not the same by that, let the second
load those of the first.
"""
_EXAMPLES: Final = """\
exit status:
  0  the grade is --min-grade or better
  1  it is weaker, or a difference was found
  2  the models could not be compared

examples:
  morphir verify old.py:make new.py:make --inputs 2x8
  morphir verify mypackage.nets:before mypackage.nets:after --min-grade PROVED
  morphir verify old.py:Net new.py:Net --inputs 2x3x32x32 --checks field,float64,gradients
  morphir verify old.py:make new.py:make --inputs 2x8 --json report.json
"""


def add_to(commands: Any) -> None:
    """Adds the command to a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "verify",
        help="compare two models",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_run)
    add_model(parser, "old", "the first model")
    add_model(parser, "new", "the second, whose parameters are named alike")
    add_inputs(parser)
    parser.add_argument(
        "--checks",
        default=",".join(CHECKS),
        metavar="A,B",
        help="what to run, as for morphir.verify (default: %(default)s)",
    )
    parser.add_argument(
        "--min-grade",
        default=Grade.TESTED.name,
        choices=[Grade.PROVED.name, Grade.PROVED_ON_BOX.name, Grade.TESTED.name],
        help="the least grade for status 0 (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="seed before each is built"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")


def _run(options: argparse.Namespace, console: Console) -> int:
    with importing():
        models = []
        for place in (options.old, options.new):
            torch.manual_seed(options.seed)
            models.append(model_of(place))
        old, new = models
        with console.status("comparing"):
            report = compare(
                old,
                new,
                example_inputs=inputs_of(options.inputs),
                entry_points=entry_points_of(options),
                checks=tuple(options.checks.split(",")),
            )
    console.print(str(report), highlight=False, markup=False)
    if options.json is not None:
        with atomic_path(options.json) as file:
            file.write_text(report.to_json(), encoding="utf8")
    return int(report.grade.rank > Grade[options.min_grade].rank)
