"""Errors of the library in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final


def in_options(text: str) -> str:
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
