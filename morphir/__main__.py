"""Starts the command line: `python -m morphir`."""

import sys

from morphir.cli import main

if __name__ == "__main__":
    sys.exit(main())
