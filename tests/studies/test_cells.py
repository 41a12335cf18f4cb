"""The runs of a study are the runs that it speaks of."""

from pathlib import Path

import pytest

from morphir_agents import cli
from morphir_agents.config import TD3RunConfig
from morphir_agents.recipes import RECIPES
from studies import cycle, halfcheetah
from studies.running import Cell

STUDIES = {"cycle": cycle.cells(RECIPES[cycle.RECIPE].config), "halfcheetah": halfcheetah.cells()}


@pytest.mark.parametrize("name", STUDIES)
def test_no_two_runs_are_the_same_and_td3_is_plain(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    found: dict[str, TD3RunConfig] = {}
    cells: list[Cell] = STUDIES[name]
    for cell in cells:
        monkeypatch.setattr(
            cli, "execute", lambda config, *_, cell=cell: found.update({cell.name: config})
        )
        cli.main(["run", *cell.arguments, "--folder", str(tmp_path / cell.name)])
    assert len({repr(config) for config in found.values()}) == len(cells)
    assert {found[f"TD3 {seed}"].method.kind for seed in range(2)} == {"none"}
    assert [config.seed for config in found.values()] == [int(cell.name[-1]) for cell in cells]
