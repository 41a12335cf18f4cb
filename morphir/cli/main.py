"""Reads the command line and runs a command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from rich.console import Console

from morphir.cli import fuzz, show, verify
from morphir.cli.options import in_options
from morphir.errors import MorphirError

_ABOUT: Final = """\
morphir: change neural networks while they live.

  morphir show MODEL        what a model computes, and which of its sizes can change together
  morphir verify OLD NEW    whether two models compute the same, and how sure that is
  morphir fuzz              whether morphir's passes keep what they promise, on random models
"""
_FAILED: Final = 2  # a command that could not do its work, as with wrong options


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status.

    Errors that the user can mend are printed without a traceback.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace, Console], int] | None = options.command
    if command is None:
        parser.print_help()
        return 0
    try:
        return command(options, Console(soft_wrap=True))
    except MorphirError as error:
        errors = Console(soft_wrap=True, stderr=True)
        errors.print("[bold red]error[/]: ", end="")
        errors.print(in_options(str(error)), highlight=False, markup=False)
        return _FAILED


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="morphir", description=_ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for command in (show, verify, fuzz):
        command.add_to(commands)
    return parser


class _Parser(argparse.ArgumentParser):
    """Says how to get help where the arguments are wrong."""

    def error(self, message: str) -> Any:
        self.exit(_FAILED, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


if __name__ == "__main__":
    sys.exit(main())
