"""Writes benchmark results with the day, the commit, the machine and the versions they are of."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "results"
_PACKAGES = (
    *("morphir", "torch", "numpy", "stable-baselines3", "gymnasium", "mujoco", "nle"),
    *("torchvision", "timm", "transformers", "torch-pruning"),
)


def write_results(name: str, rows: Any) -> Path:
    """Writes `results/<name>.json` beside this file and returns its path."""
    return write_json(name, {**circumstances(), "rows": rows})


def circumstances() -> dict[str, Any]:
    """The day, the commit, the machine and the versions."""
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    when = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
    return {**when, "machine": machine, "versions": _versions()}


def read_rows(name: str) -> list[Any]:
    """The rows of `results/<name>.json`, none where it does not exist."""
    path = _FOLDER / f"{name}.json"
    return list(json.loads(path.read_text())["rows"]) if path.exists() else []


def write_json(name: str, document: Any) -> Path:
    """Writes `results/<name>.json`, whole or not at all."""
    path = _FOLDER / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(document, indent=2) + "\n")
    unfinished.replace(path)
    return path.relative_to(Path(__file__).parents[1])


def commit() -> str:
    """The commit that is checked out, and whether more was changed than what is measured."""
    found = _git("describe", "--always", "--exclude=*")
    changed = _git("status", "--porcelain", "--", ":/", ":!/benchmarks/results", ":!/docs")
    return f"{found}-dirty" if changed else found


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=_FOLDER.parent, capture_output=True, text=True, check=False
    ).stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
