"""`morphir show`: prints or draws a model with the groups of axes that change together."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from morphir.cli.loading import (
    add_inputs,
    add_model,
    entry_points_of,
    importing,
    inputs_of,
    model_of,
)
from morphir.frontend import record
from morphir.ir import Mode
from morphir.show import Census, show_page, show_svg, show_text
from morphir.state.files import atomic_path

_ABOUT: Final = """\
Print what a model computes, with the groups of axes that change together.

A group (g1, g2, ...) is one width with every place where it stands: the rows of the layer that
makes it, the columns of those that read it, the norms between. Beside it stands a pass that changes
it. Sizes that cannot change (f1, f2, ...) have the reason beside them.
"""
_EXAMPLES: Final = """\
examples:
  morphir show mypackage.nets:ActorCritic
  morphir show torchvision.models:resnet18 --inputs 2x3x64x64 --html resnet.html
  morphir show mypackage.nets:agent --inputs 2x8 --entry-points get_value,get_action_and_value
  morphir show mypackage.nets:gpt --inputs 2x16:int64 --at blocks.0.mlp.up --svg gpt.svg
"""


def add_to(commands: Any) -> None:
    """Adds the command to a parser."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "show",
        help="print or draw a model with its axis groups",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_run)
    add_model(parser, "model", "the model")
    add_inputs(parser)
    parser.add_argument("--train", action="store_true", help="record in train mode")
    parser.add_argument("--at", default="", metavar="NAME", help="light the groups of one module")
    parser.add_argument(
        "--depth",
        type=_depth,
        metavar="N",
        help="how many levels of modules to open (default: all of them as text, in drawings as "
        "many as stay readable)",
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw it instead of printing it")
    parser.add_argument(
        "--html", type=Path, metavar="FILE", help="write an interactive page instead"
    )


def _depth(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of levels from 0 on")
    return int(text)


def _run(options: argparse.Namespace, console: Console) -> int:
    entry_points = entry_points_of(options)
    mode: Mode = "train" if options.train else "eval"
    with importing():
        model, inputs = model_of(options.model), inputs_of(options.inputs)
        with console.status("recording"):
            recording = record(model, example_inputs=inputs, entry_points=entry_points, mode=mode)
        with console.status("looking for groups"):
            census = Census(recording.program)
    for name in entry_points:
        if name not in recording.inputs:
            text = f"{name} was not run, so its sizes are not known: give --inputs"
            console.print(text, style="yellow", highlight=False)
    _write(options, census, console)
    return 0


def _write(options: argparse.Namespace, census: Census, console: Console) -> None:
    at, depth = options.at, options.depth
    if options.html is None and options.svg is None:
        console.print(show_text(census, at=at, depth=depth), highlight=False)
    if options.html is not None:
        _save(options.html, show_page(census, at=at, depth=depth), console)
    if options.svg is not None:
        names = [*census.program.graphs]
        for name in names:
            path: Path = options.svg
            if len(names) > 1:
                path = path.with_stem(f"{path.stem}-{name}")
            drawing = show_svg(census, entry_point=name, at=at, depth=depth)
            _save(path, drawing, console)


def _save(path: Path, text: str, console: Console) -> None:
    with atomic_path(path) as file:
        file.write_text(text, encoding="utf8")
    console.print(f"wrote {path}", highlight=False, markup=False)
