"""The command line: `morphir show package.module:factory`."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import torch
from rich.console import Console
from torch import nn

from morphir.errors import MorphirError, RefusalError
from morphir.frontend import record
from morphir.ir import Mode
from morphir.show import Census, show_page, show_svg, show_text
from morphir.state.files import atomic_path

_ABOUT: Final = """\
morphir: change neural networks while they live.

  morphir show MODEL      what a model computes, and which of its sizes can change together
"""
_SHOW: Final = """\
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
_SHAPE: Final = re.compile(r"(\d+(?:x\d+)*)(?::(\w+))?")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status.

    Errors that the user can mend are printed without a traceback.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace, Console], None] | None = options.command
    if command is None:
        parser.print_help()
        return 0
    try:
        command(options, Console(soft_wrap=True))
    except MorphirError as error:
        errors = Console(soft_wrap=True, stderr=True)
        errors.print("[bold red]error[/]: ", end="")
        errors.print(_in_options(str(error)), highlight=False, markup=False)
        return 1
    return 0


def _in_options(text: str) -> str:
    """An error of the library in the options of the command line."""
    for pattern, option in _OPTIONS:
        text = re.sub(pattern, option, text)
    return text


def _shapes(match: re.Match[str]) -> str:
    return " ".join(["--inputs SHAPE"] * len(_parts(match[1])))


def _methods(match: re.Match[str]) -> str:
    return f"--entry-points {','.join(_parts(match[1]))}"


def _parts(listed: str) -> list[str]:
    return [part.strip(" '") for part in listed.split(",") if part.strip()]


# What an argument of the library is on the command line, with a value, and without one.
_OPTIONS: Final[Sequence[tuple[str, str | Callable[[re.Match[str]], str]]]] = (
    (r"\bexample_inputs=\(([^()]*)\)", _shapes),
    (r"\bexample_inputs=(\{.*\})", r"--inputs MODULE:NAME of \1"),
    (r"\bexample_inputs\b=?", "--inputs"),
    (r"\bentry_points=\(([^()]*)\)", _methods),
    (r"\bentry_points\b=?", "--entry-points"),
    (r"\bat='([^']*)'", r"--at \1"),
    (r"\bat=", "--at"),
)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="morphir", description=_ABOUT, formatter_class=_AsWritten)
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    show = commands.add_parser(
        "show",
        help="print or draw a model with its axis groups",
        description=_SHOW,
        epilog=_EXAMPLES,
        formatter_class=_AsWritten,
    )
    show.set_defaults(command=_show)
    show.add_argument(
        "model",
        metavar="MODULE:NAME",
        help="where to import the model from: a module's path, a colon, and a function or class "
        "that returns an nn.Module when it is called without arguments, or an nn.Module",
    )
    show.add_argument(
        "--inputs",
        action="append",
        metavar="SHAPE | MODULE:NAME",
        help="example inputs: a shape such as 2x3x32x32 or 2x16:int64, once for each argument; or "
        "what to import (a tensor, a tuple, a dict as for morphir.trace, or a function that "
        "returns one); often they follow from the model",
    )
    show.add_argument(
        "--entry-points",
        default="forward",
        metavar="A,B",
        help="methods or submodules to record, separated by commas (default: forward)",
    )
    show.add_argument("--train", action="store_true", help="record in train mode")
    show.add_argument("--at", default="", metavar="NAME", help="light the groups of one module")
    show.add_argument(
        "--depth",
        type=_depth,
        metavar="N",
        help="how many levels of modules to open (default: all of them as text, in drawings as "
        "many as stay readable)",
    )
    show.add_argument("--svg", type=Path, metavar="FILE", help="draw it instead of printing it")
    show.add_argument("--html", type=Path, metavar="FILE", help="write an interactive page instead")
    return parser


def _depth(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number of levels from 0 on")
    return int(text)


class _AsWritten(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of descriptions."""


class _Parser(argparse.ArgumentParser):
    """Says how to get help where the arguments are wrong."""

    def error(self, message: str) -> Any:
        self.exit(2, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


def _show(options: argparse.Namespace, console: Console) -> None:
    sys.path.insert(0, "")  # as with `python -m`: what lies in this folder can be imported
    try:
        model = _model(options.model)
        inputs = _inputs(options.inputs)
        entry_points = tuple(filter(None, options.entry_points.split(",")))
        mode: Mode = "train" if options.train else "eval"
        with console.status("recording"):
            recording = record(model, example_inputs=inputs, entry_points=entry_points, mode=mode)
        with console.status("looking for groups"):
            census = Census(recording.program)
    finally:
        sys.path.remove("")
    for name in entry_points:
        if name not in recording.inputs:
            text = f"{name} was not run, so its sizes are not known: give --inputs"
            console.print(text, style="yellow", highlight=False)
    _write(options, census, console)


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


def _model(place: str) -> nn.Module:
    found = _imported(place)
    if isinstance(found, nn.Module):
        return found
    if not callable(found):
        raise RefusalError(
            f"{place} is a {type(found).__name__}, expected an nn.Module or what returns one"
        )
    model = _called(place, found, "builds the model")
    if not isinstance(model, nn.Module):
        raise RefusalError(f"{place}() returned a {type(model).__name__}, expected an nn.Module")
    return model


def _called(place: str, function: Callable[[], Any], does: str) -> Any:
    try:
        return function()
    except Exception as error:
        raise RefusalError(
            f"{place}() failed: {type(error).__name__}: {error}",
            suggestions=[f"a function without arguments that {does}"],
        ) from error


def _inputs(given: Sequence[str] | None) -> Any:
    """Example inputs as `record` takes them."""
    if not given:
        return None
    shapes = [_SHAPE.fullmatch(each) for each in given]
    if all(shapes):
        return tuple(_tensor(*shape.groups()) for shape in shapes if shape)
    for each in given:
        if not _SHAPE.fullmatch(each) and (":" not in each or each[:1].isdigit()):
            raise RefusalError(
                f"--inputs {each} is no shape, expected sizes with x between them, and names "
                "nothing to import",
                suggestions=["--inputs 2x8", "--inputs 2x16:int64", "--inputs package.module:name"],
            )
    if len(given) > 1:
        raise RefusalError(
            f"--inputs {' --inputs '.join(given)} mixes shapes with something to import",
            suggestions=["one MODULE:NAME that gives all inputs", "--inputs 2x8 --inputs 2x3"],
        )
    found = _imported(given[0])
    if callable(found) and not isinstance(found, torch.Tensor):
        found = _called(given[0], found, "returns the inputs")
    return (found,) if isinstance(found, torch.Tensor) else found


def _tensor(shape: str, dtype: str | None) -> torch.Tensor:
    kind = getattr(torch, dtype or "float32", None)
    if not isinstance(kind, torch.dtype):
        raise RefusalError(
            f"--inputs {shape}:{dtype}: torch has no dtype {dtype!r}",
            suggestions=[f"--inputs {shape}:int64", f"--inputs {shape}:float32"],
        )
    sizes = [int(size) for size in shape.split("x")]
    if not kind.is_floating_point:
        return torch.zeros(sizes, dtype=kind)  # an index that every table has
    return torch.randn(sizes, generator=torch.Generator().manual_seed(0)).to(kind)


def _imported(place: str) -> Any:
    module_name, colon, path = place.partition(":")
    if not colon or not module_name or not path:
        raise RefusalError(
            f"{place!r} names nothing to import, expected package.module:name",
            suggestions=[f"{place.rpartition('.')[0] or place}:{place.rpartition('.')[2]}"],
        )
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise RefusalError(f"{module_name} cannot be imported: {error}") from error
        raise RefusalError(
            f"there is no module {module_name!r}",
            suggestions=["run it in the folder from which the module can be imported",
                         "a module's path with dots, without .py"],
        ) from error  # fmt: skip
    except Exception as error:
        raise RefusalError(
            f"{module_name} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    for name in path.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, dir(found), 3, 0.5)
            raise RefusalError(
                f"{module_name!r} has no {path!r}",
                suggestions=[f"{module_name}:{each}" for each in near],
            )
        found = getattr(found, name)
    return found


if __name__ == "__main__":
    sys.exit(main())
