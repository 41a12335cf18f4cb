"""Which versions wrote a file."""

from __future__ import annotations

from importlib.metadata import version

__version__ = "0.1.0"


def library_versions(*others: str) -> dict[str, str]:
    """Versions of morphir, torch and other installed distributions, by name."""
    return {"morphir": __version__, **{name: version(name) for name in ("torch", *others)}}
