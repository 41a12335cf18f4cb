"""Errors of the agents: each says what was found, what was expected and what to do."""

from __future__ import annotations

from typing import final

__all__ = [
    "AgentsError",
    "CheckpointError",
    "ComparisonError",
    "ConfigError",
    "MissingExtraError",
    "RunFolderError",
]


class AgentsError(Exception):
    """Something the user can mend; the command line prints it without a traceback."""


@final
class ConfigError(AgentsError):
    """A setting has a value that can't work.

    Not a ValueError: the command line parser would catch that one and garble it.
    """


@final
class MissingExtraError(AgentsError, ImportError):
    """An optional dependency is needed and isn't installed."""


@final
class CheckpointError(AgentsError):
    """A checkpoint can't be read or doesn't belong to this run."""


@final
class RunFolderError(AgentsError):
    """A run folder can't be written, or isn't one."""


@final
class ComparisonError(AgentsError):
    """Runs can't be compared, or not like this."""
