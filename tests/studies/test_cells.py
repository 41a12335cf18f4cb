"""The runs of a study are the runs that it speaks of."""

from pathlib import Path

import pytest

from morphir_agents import cli
from morphir_agents.config import TD3RunConfig
from morphir_agents.recipes import RECIPES
from studies import cycle, halfcheetah, review

STUDIES = {
    "cycle": cycle.cells(RECIPES[cycle.RECIPE].config),
    "halfcheetah": halfcheetah.cells(),
    "review": review.cells(),
}


@pytest.fixture(params=STUDIES)
def study(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> tuple[str, dict[str, TD3RunConfig]]:
    """Its name, and what its runs would be by theirs."""
    found: dict[str, TD3RunConfig] = {}
    for cell in STUDIES[request.param]:
        monkeypatch.setattr(
            cli, "execute", lambda config, *_, cell=cell: found.update({cell.name: config})
        )
        cli.main(["run", *cell.arguments, "--folder", str(tmp_path / cell.name)])
    return request.param, found


def test_no_two_runs_of_a_study_are_the_same(study: tuple[str, dict[str, TD3RunConfig]]):
    name, found = study
    assert len({repr(config) for config in found.values()}) == len(STUDIES[name])
    assert [config.seed for config in found.values()] == [int(each[-1]) for each in found]


def test_td3_is_plain_and_methods_are_what_runs_are_called(
    study: tuple[str, dict[str, TD3RunConfig]],
):
    kinds = {"TD3": "none", "NE": "ne", "NE without review": "ne-no-review"}
    for name, config in study[1].items():
        method = name.rpartition(" ")[0].removeprefix("HalfCheetah ")
        assert config.method.kind == kinds.get(method, config.method.kind)


def test_the_runs_that_two_studies_share_are_the_same():
    shared = {cell.name: cell for cell in STUDIES["cycle"]}
    own = [cell for cell in STUDIES["review"] if cell.name in shared]
    assert len(own) == 2 * cycle.SEEDS
    assert all(cell == shared[cell.name] for cell in own)
