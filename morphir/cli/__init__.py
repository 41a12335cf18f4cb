"""The command line: `morphir show`, `morphir verify`."""

from morphir.cli.main import main

__all__ = ["main"]
