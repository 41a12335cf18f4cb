"""The architectures of the coverage benchmark, with the sites at which they are changed.

The sites were chosen by reading the models, and committed before the benchmark first ran.
"""

from __future__ import annotations

from importlib import import_module

from architectures.base import Architecture, Site, silence, width

_FAMILIES = ("torchvision", "timm", "transformers", "stable_baselines3")


def _collect() -> tuple[dict[str, Architecture], list[str]]:
    found: dict[str, Architecture] = {}
    missing: list[str] = []
    for family in _FAMILIES:
        try:
            module = import_module(f"architectures.from_{family}")
        except ModuleNotFoundError as error:
            missing.append(f"{family} ({error})")
            continue
        found.update((each.name, each) for each in module.ARCHITECTURES)
    return found, missing


ARCHITECTURES, MISSING = _collect()

__all__ = ["ARCHITECTURES", "MISSING", "Architecture", "Site", "silence", "width"]
