"""Starts the command line: `python -m morphir_agents`."""

import sys

from morphir_agents.cli import main

if __name__ == "__main__":
    sys.exit(main())
