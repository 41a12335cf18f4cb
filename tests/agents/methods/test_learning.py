"""Every method on a task that plain TD3 learns: one that breaks learning would not."""

from dataclasses import replace
from statistics import median
from typing import get_args

import pytest
from rich.console import Console

from morphir_agents.folder import RunFolder
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.config import MethodKind
from morphir_agents.recipes import RECIPES
from morphir_agents.runs import execute
from tests.agents.test_recipes import EXPECTED

SEEDS = 3


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [*get_args(MethodKind), "ne as released"])
def test_every_method_learns_to_swing_up(kind, tmp_path, record_property):
    """Random actions earn -1,200; the bar is that of the recipe, for every method.

    Held against it is the median over seeds: a policy that swings up may fail from one start at
    one moment, plain TD3's included, and one seed that ends in such a moment says nothing.
    """
    method = MethodConfig(
        "ne" if kind == "ne as released" else kind,
        as_released=kind == "ne as released",
        every=500,
        reset_every=8_000,
        inject_at=6_000,
        threshold=0.1 if kind == "redo" else 0.0,
    )
    returns, shares = [], []
    for seed in range(SEEDS):
        config = replace(RECIPES["td3-pendulum"].config, method=method, seed=seed)
        folder = RunFolder.create(tmp_path / str(seed), config)
        summary = execute(config, folder, Console(quiet=True))
        (outcome,) = summary.evaluations
        returns.append(outcome.mean_return)
        shares.append(summary.method_share)
    record_property("returns", ", ".join(f"{each:,.0f}" for each in returns))
    record_property("events", f"{median(shares):.2%} of the run")
    assert median(returns) > EXPECTED["Pendulum-v1"]
