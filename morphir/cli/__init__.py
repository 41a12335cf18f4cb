"""The command line: `morphir show`, `morphir verify`, `morphir fuzz`."""

from morphir.cli.main import main

__all__ = ["main"]
