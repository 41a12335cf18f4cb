import json
from dataclasses import replace

import pytest

from morphir_agents import cli
from morphir_agents.cli import main
from morphir_agents.folder import RunFolder
from morphir_agents.recipes import RECIPES
from tests.agents.test_recipes import GROWING


@pytest.mark.parametrize("arguments", [[], ["--help"], ["help"]])
def test_help_teaches_by_example(arguments, capsys):
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert "morphir-agents run grownn-minihack-room" in shown
    assert "morphir-agents resume FOLDER" in shown
    assert "morphir-agents compare FOLDER..." in shown
    assert "morphir-agents run td3-pendulum --method ne" in shown


def test_help_of_a_recipe_explains_every_setting(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "grownn-minihack-room", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for text in (
        "--growth {deeper,wider,both}",
        "--growth.widths",
        "--ppo.learning-rate",
        "--env.size",
        "Side of the square room",
    ):
        assert text in shown


def test_help_of_a_td3_recipe_explains_every_setting_and_none_of_ppo_s(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["run", "td3-pendulum", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for text in (
        "--network.widths",
        "--td3.policy-delay",
        "--td3.exploration-noise",
        "Updates of the critics per update of the actor",
        "--device",
        "Pendulum-v1",
    ):
        assert text in shown
    assert "--ppo" not in shown
    assert "--growth" not in shown


def test_a_td3_run_keeps_what_the_user_said(tmp_path, monkeypatch):
    configs = []
    monkeypatch.setattr(cli, "execute", lambda config, *_: configs.append(config))
    given = ["--network.widths", "256", "128", "--td3.total-steps", "5000", "--seed", "3"]
    main(["run", "td3-halfcheetah", *given, "--folder", str(tmp_path / "run")])
    assert configs == [RunFolder.open(tmp_path / "run")[1]]
    (config,) = configs
    assert (config.network.widths, config.td3.total_steps, config.seed) == ((256, 128), 5000, 3)


def test_a_cycle_is_given_by_its_tasks(tmp_path, monkeypatch, capsys):
    configs = []
    monkeypatch.setattr(cli, "execute", lambda config, *_: configs.append(config))
    cycle = ["--cycle.tasks", "Hopper-v5", "Ant-v5", "--cycle.rounds", "2"]
    given = [*cycle, "--td3.total-steps", "4000", "--folder", str(tmp_path / "run")]
    assert main(["run", "td3-halfcheetah", *given]) == 130  # nothing was trained
    assert "Hopper-v5 → Ant-v5, 2 times" in " ".join(capsys.readouterr().out.split())
    assert configs == [RunFolder.open(tmp_path / "run")[1]]
    assert [task.id for task in configs[0].tasks] == ["Hopper-v5", "Ant-v5"]
    assert configs[0].visit_steps == 1_000


@pytest.mark.parametrize("kind", ["deeper", "wider", "both"])
@pytest.mark.parametrize("recipe", GROWING)
def test_every_recipe_grows_as_the_user_says(recipe, kind, tmp_path, monkeypatch):
    configs = []
    monkeypatch.setattr(cli, "execute", lambda config, *_: configs.append(config))
    main(["run", recipe, "--growth", kind, "--folder", str(tmp_path / "run")])
    assert configs == [RunFolder.open(tmp_path / "run")[1]]
    (config,) = configs
    assert config.growth == replace(RECIPES[recipe].config.growth, kind=kind)
    for event in config.growth.schedule(config.network, config.ppo.total_steps):
        kinds = [type(change).__name__ for change in event.changes]
        assert kinds == {"deeper": ["Deepen"], "wider": ["Widen"]}.get(kind, ["Widen", "Deepen"])


def test_the_recipes_are_listed(capsys):
    assert main(["recipes"]) == 0
    assert "grownn-minihack-room-paper" in capsys.readouterr().out


def test_an_unknown_command_names_the_known(capsys):
    assert main(["trian"]) == 2
    assert "expected one of run, resume, recipes, compare" in capsys.readouterr().err


def test_an_unknown_recipe_or_option_ends_before_anything_is_written(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "chess"]) == 2
    with pytest.raises(SystemExit) as ended:
        main(["run", "grownn-minihack-room", "--ppo.gama", "0.9"])
    assert ended.value.code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("td3-pendulm", "Did you mean td3-pendulum? All of them: morphir-agents recipes"),
        ("chess", "there is no recipe 'chess'. All of them: morphir-agents recipes"),
    ],
)
def test_an_unknown_recipe_is_answered_with_the_nearest(name, said, capsys):
    assert main(["run", name, "--seed", "1"]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "grownn-minihack-room", "--env.size", "50"], "2 to 21"),
        (["run", "grownn-minihack-room", "--growth.depths", "8", "4", "2"], "increasing"),
        (["run", "grownn-minihack-room", "--growth.widths", "256"], "Add --growth wider or"),
        (["run", "grownn-minihack-room", "--ppo.total-steps", "50000"], "ends at 75,000, but the"),
        (["run", "grownn-minihack-room", "--folder", "blocked/run"], "can't be written"),
        (["resume", "nowhere"], "not a run folder"),
        (["run", "td3-pendulum", "--device", "nonsense"], "nonsense. Leave it out to use the CPU."),
        (["run", "td3-pendulum", "--td3.batch", "0"], "td3.batch is 0; expected at least 1"),
    ],
)
def test_bad_input_gives_one_clear_error_and_no_traceback(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "blocked").write_text("")
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert message in " ".join(captured.err.split())
    assert "Traceback" not in captured.err
    assert [p.name for p in tmp_path.iterdir()] == ["blocked"]


def test_a_corrupt_checkpoint_gives_one_clear_error_and_changes_nothing(tmp_path, capsys):
    folder = RunFolder.create(tmp_path / "run", RECIPES["grownn-minihack-room"].config)
    broken = folder.checkpoints / "000000002048"
    broken.mkdir()
    (broken / "state.safetensors").write_bytes(b"nonsense")
    metrics = folder.path / "metrics.jsonl"
    metrics.write_text(json.dumps({"step": 4096}) + "\n")
    before = metrics.read_bytes()
    assert main(["resume", str(folder.path)]) == 1
    assert "can't be read" in " ".join(capsys.readouterr().err.split())
    assert metrics.read_bytes() == before


@pytest.mark.parametrize("step", [None, 5000])
@pytest.mark.parametrize("command", ["run", "resume"])
def test_who_is_stopped_at_once_is_told_what_is_left(command, step, tmp_path, monkeypatch, capsys):
    def stop(config, folder, console):
        if step is not None:
            (folder.checkpoints / f"{step:012d}").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "execute", stop)
    folder = tmp_path / "run"
    if command == "resume":
        RunFolder.create(folder, RECIPES["td3-pendulum"].config)
    words = ["td3-pendulum", "--folder"] if command == "run" else []
    assert main([command, *words, str(folder)]) == 130
    said = " ".join(capsys.readouterr().out.split())
    if step is None:
        expected = "Stopped at once. There is no checkpoint yet, so that it begins anew with:"
    else:
        expected = "Stopped at once. Continue from the last checkpoint, at step 5,000, with:"
    assert f"{expected} morphir-agents resume {folder}" in said


def test_another_command_that_is_stopped_promises_nothing(monkeypatch, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "compare", stop)
    assert main(["compare", "runs"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"


@pytest.mark.parametrize("steps", [None, 14_999, 15_000])
def test_only_a_finished_run_is_not_resumed(steps, tmp_path, monkeypatch, capsys):
    resumed = []
    monkeypatch.setattr(cli, "execute", lambda config, *_: resumed.append(config))
    folder = RunFolder.create(tmp_path / "run", RECIPES["td3-pendulum"].config)
    folder.page.write_text("")
    if steps is not None:
        folder.summary.write_text(json.dumps({"steps": steps}))
    status = main(["resume", str(folder.path)])
    said = capsys.readouterr().out
    assert (status == 0) == (not resumed) == (steps == 15_000)
    assert (f"This run is finished. Everything about it: {folder.page}" in said) == (status == 0)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("td3-pendulum", "td3-pendulum-seed0"),
        ("td3-pendulum --method none --seed 2", "td3-pendulum-seed2"),
        ("td3-pendulum --method redo", "td3-pendulum-redo-seed0"),
        ("ne-halfcheetah", "ne-halfcheetah-seed0"),
        ("ne-halfcheetah --method none", "ne-halfcheetah-none-seed0"),
        ("ne-halfcheetah --method.as-released", "ne-halfcheetah-as-released-seed0"),
        ("td3-pendulum --name mine --method ne", "mine-ne-seed0"),
        ("grownn-minihack-room", "grownn-minihack-room-seed0"),
    ],
)
def test_a_folder_is_named_after_the_method_if_that_was_chosen(words, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "execute", lambda *_: None)
    for expected in (name, f"{name}-2"):
        main(["run", *words.split()])
        assert (tmp_path / "runs" / expected / "config.json").is_file()


def test_help_says_what_happens_if_the_folder_is_there(capsys):
    with pytest.raises(SystemExit):
        main(["run", "td3-pendulum", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "One that holds a run already is refused" in shown
    assert "runs/<recipe>-seed<seed>" in shown
