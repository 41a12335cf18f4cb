"""Writes benchmark results with the machine and versions that gave them."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("morphir", "torch", "numpy", "stable-baselines3", "gymnasium", "mujoco", "nle")


def write_results(name: str, rows: Any) -> Path:
    """Writes `results/<name>.json` beside this file and returns its path."""
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.json"
    machine = {"cpu": _cpu(), "cores": os.cpu_count(), "python": platform.python_version()}
    document = {"machine": machine, "versions": _versions(), "rows": rows}
    path.write_text(json.dumps(document, indent=2) + "\n")
    return path.relative_to(Path(__file__).parents[1])


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
