"""Run folders written by hand, as a run would have left them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from morphir_agents.config import BaseRunConfig
from morphir_agents.folder import RunFolder
from morphir_agents.recipes import RECIPES
from morphir_agents.td3_networks import TD3NetworkConfig

PENDULUM = RECIPES["td3-pendulum"].config
NARROW = replace(PENDULUM, network=TD3NetworkConfig((32,)))


def write_run(
    path: Path,
    config: BaseRunConfig,
    returns: Sequence[float],
    measures: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """A run with evaluations and rows of the log at even steps, the last at its end."""
    RunFolder.create(path, config)
    step = config.last_step // len(returns)
    _write(
        path / "evaluations.jsonl",
        [
            {"step": step * k, "policy": "deterministic", "mean_return": value}
            for k, value in enumerate(returns, start=1)
        ],
    )
    rows = [
        {"step": step * k, "update": k, **dict(zip(measures, values, strict=True))}
        for k, values in enumerate(zip(*measures.values(), strict=True), start=1)
    ] if measures else []  # fmt: skip
    _write(path / "metrics.jsonl", rows)
    return path


def write_seeds(
    parent: Path, name: str, config: BaseRunConfig, returns: Sequence[Sequence[float]]
) -> list[Path]:
    """A run for each list of returns, with seeds from 0 on."""
    return [
        write_run(parent / f"{name}-seed{seed}", replace(config, seed=seed), each)
        for seed, each in enumerate(returns)
    ]


def _write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
