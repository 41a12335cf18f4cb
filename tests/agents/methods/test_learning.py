"""Every method on a task that plain TD3 learns: one that breaks learning would not."""

from dataclasses import replace
from statistics import median
from typing import get_args

import pytest
from rich.console import Console

from morphir_agents.folder import RunFolder
from morphir_agents.logbook import read_rows
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.config import MethodKind
from morphir_agents.recipes import RECIPES
from morphir_agents.runs import execute
from tests.agents.test_recipes import EXPECTED

LAST = 5


@pytest.mark.nightly
@pytest.mark.parametrize("kind", [*get_args(MethodKind), "ne as released"])
def test_every_method_learns_to_swing_up(kind, tmp_path, record_property):
    """Random actions earn -1,200; the bar is that of the recipe, for every method.

    Held against it is the median of the last evaluations: a policy that has learned may fail from
    one of a few starts at one moment, and has not unlearned by that.
    """
    config = RECIPES["td3-pendulum"].config
    method = MethodConfig(
        "ne" if kind == "ne as released" else kind,
        as_released=kind == "ne as released",
        every=500,
        reset_every=8_000,
        inject_at=6_000,
        threshold=0.1 if kind == "redo" else 0.0,
    )
    config = replace(config, method=method, eval_every=1_000)
    folder = tmp_path / "run"
    summary = execute(config, RunFolder.create(folder, config), Console(quiet=True))
    last = [row["mean_return"] for row in read_rows(folder / "evaluations.jsonl")][-LAST:]
    record_property("returns", ", ".join(f"{each:,.0f}" for each in last))
    record_property("events", f"{summary.method_share:.2%} of the run")
    assert len(last) == LAST
    assert median(last) > EXPECTED["Pendulum-v1"]
