"""What can't be built is refused before the folder of a run exists."""

import pytest

from morphir_agents.cli import main
from morphir_agents.recipes import RECIPES
from morphir_agents.rehearsal import rehearse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("td3-pendulum --env.id Nope-v3", "env.id is 'Nope-v3'"),
        ("td3-pendulum --env.id nosuch:Ant-v5", "before the colon can't be imported"),
        ("td3-pendulum --env.id CartPole-v1", "TD3 needs a vector of numbers"),
        ("td3-pendulum --env.id FrozenLake-v1", "expected a vector"),
        ("td3-pendulum --env.contact-forces True", "has no such switch"),
        (
            "td3-cycle-small --cycle.tasks Pendulum-v1 Nope-v3",
            "env.id is 'Nope-v3'",
        ),
        (
            "td3-pendulum --method ne --method.amount.shape warm_decay --method.amount.warm 50000",
            "method.amount.warm is 50,000; expected less than 15,000, the step from which nothing "
            "grows: method.amount.end, or the end of the run.",
        ),
        ("grownn-ant --env.id Nope-v3", "env.id is 'Nope-v3'"),
        ("grownn-ant --network.architecture grownn-minihack", "network.architecture"),
    ],
)
def test_the_mended_command_finds_no_folder(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", *arguments.split(), "--folder", "runs/one"]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_can_be_built(recipe):
    rehearse(RECIPES[recipe].config)
