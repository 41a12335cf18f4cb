from dataclasses import replace

import pytest
from rich.console import Console

from morphir_agents.config import RunConfig
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import read_rows
from morphir_agents.networks import build_agent
from morphir_agents.recipes import RECIPES
from morphir_agents.runs import execute
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent

EXPECTED = {
    "Pendulum-v1": -400,  # doing nothing, or anything, earns -1,200
    "InvertedDoublePendulum-v5": 200,  # 70
    "Reacher-v5": -9,  # -12, and -43
    "Pusher-v5": -48,  # -57, and -147
}
"""What a run of td3-cycle-small must have reached."""
GROWING = [name for name, recipe in RECIPES.items() if isinstance(recipe.config, RunConfig)]


@pytest.mark.parametrize("name", sorted(RECIPES.keys() - GROWING))
def test_a_td3_recipe_s_networks_fit_its_task(name):
    config = RECIPES[name].config
    assert config.name == name
    assert name.split("-")[0] in ("td3", "ne")
    env, size = config.env.make(), config.env.encoding().shape[0]
    agent = build_td3_agent(config.network, size, env.action_space, 0.1, config.seed)
    env.close()
    assert agent.actor[0].in_features == size
    assert config.td3.random_steps < config.td3.total_steps
    # Whole episodes fit between the checkpoints, at which they are cut.
    assert config.checkpoint_every % 1_000 == 0


def test_halfcheetah_has_the_settings_of_the_released_code():
    config = RECIPES["td3-halfcheetah"].config
    td3 = config.td3
    assert (config.env.id, config.network) == ("HalfCheetah-v5", TD3NetworkConfig((256, 256)))
    assert (td3.learning_rate, td3.batch, td3.random_steps, td3.replay) == (3e-4, 256, 25e3, 1e6)
    assert (td3.exploration_noise, td3.target_noise, td3.target_noise_clip) == (0.1, 0.2, 0.5)
    assert (td3.policy_delay, td3.tau, td3.discount) == (2, 0.005, 0.99)
    assert (config.eval_every, config.eval_episodes, td3.total_steps) == (5_000, 10, 1_000_000)


@pytest.mark.parametrize("name", ["td3-cycle", "td3-cycle-small"])
def test_a_cycle_s_visits_are_long_enough_to_learn_and_be_judged_in(name):
    config = RECIPES[name].config
    assert len(config.tasks) == 4
    sizes = set()
    for task in config.tasks:
        env = task.make()
        sizes.add((env.observation_space.shape, env.action_space.shape))
        env.close()
    assert len(sizes) == 4
    assert config.td3.random_steps < config.visit_steps / 2
    for grid in (config.eval_every, config.checkpoint_every, config.td3.log_every):
        assert config.visit_steps % grid == 0


def test_the_cycle_is_the_paper_s():
    config = RECIPES["td3-cycle"].config
    names = ("HalfCheetah-v5", "Humanoid-v5", "Ant-v5", "Hopper-v5")
    assert (config.cycle.tasks, config.cycle.rounds) == (names, 3)
    assert (config.visit_steps, config.network.widths) == (1_000_000, (256, 128))
    assert config.td3 == replace(RECIPES["td3-halfcheetah"].config.td3, total_steps=12_000_000)


def test_td3_swings_the_pendulum_up(tmp_path):
    """Half of the recipe, which four seeds took to -371, -123, -184 and -161."""
    config = RECIPES["td3-pendulum"].config
    config = replace(config, seed=1, td3=replace(config.td3, total_steps=8_000))
    summary = execute(config, RunFolder.create(tmp_path / "run", config), Console(quiet=True))
    (outcome,) = summary.evaluations
    assert outcome.mean_return > EXPECTED["Pendulum-v1"]


@pytest.mark.nightly
def test_the_small_cycle_learns_its_tasks_and_comes_back_to_them(tmp_path, record_property):
    config = RECIPES["td3-cycle-small"].config
    folder = RunFolder.create(tmp_path / "run", config)
    summary = execute(config, folder, Console(quiet=True))
    assert summary.grades == ("PROVED",) * 3
    rows = read_rows(folder.path / "evaluations.jsonl")
    for task, expected in EXPECTED.items():
        best = max(row["mean_return"] for row in rows if row["task"] == task)
        record_property(task, f"{best:,.0f}")
        assert best > expected


@pytest.mark.parametrize("name", GROWING)
def test_a_recipe_s_network_fits_its_task_and_its_growth_its_length(name):
    config = RECIPES[name].config
    assert config.name == name
    env = config.env.make()
    agent = build_agent(config.network, config.env.encoding(), env.action_space, config.seed)
    env.close()
    assert (agent.hidden_layers, agent.hidden_width) == (config.network.depth, config.network.width)
    events = config.growth.schedule(config.network, config.ppo.total_steps)
    assert all(0 < event.step < config.ppo.total_steps for event in events)


def test_the_demo_grows_from_one_to_eight_layers_in_the_random_room():
    config = RECIPES["grownn-minihack-room"].config
    assert (config.env.size, config.env.random, config.env.monsters) == (10, True, 0)
    assert (config.network.depth, *config.growth.depths) == (1, 2, 4, 8)
    assert config.final_episodes == 100


def test_the_paper_s_recipes_have_the_paper_s_sizes():
    room, ant = RECIPES["grownn-minihack-room-paper"].config, RECIPES["grownn-ant"].config
    assert (room.network.architecture, room.network.width, room.env.view) == (
        "grownn-minihack",
        512,
        "map",
    )
    assert (ant.network.architecture, ant.network.width, ant.env.id) == ("grownn-ant", 64, "Ant-v4")
    for config in (room, ant):
        assert config.ppo.batch == 10_240
        assert config.ppo.total_steps == 2_000_000
        steps = [event.step for event in config.growth.schedule(config.network, 2_000_000)]
        assert steps == [500_000, 1_000_000, 1_500_000]


@pytest.mark.nightly
@pytest.mark.parametrize(
    ("seed", "kind"), [*((seed, "deeper") for seed in range(5)), (0, "wider"), (0, "both")]
)
def test_the_demo_solves_the_room(seed, kind, tmp_path, record_property):
    config = RECIPES["grownn-minihack-room"].config
    config = replace(config, seed=seed, growth=replace(config.growth, kind=kind))
    summary = execute(config, RunFolder.create(tmp_path / "run", config), Console(quiet=True))
    for outcome in summary.evaluations:
        record_property(f"{outcome.policy} policy", f"{outcome.success_rate:.0%}")
        assert outcome.success_rate >= 0.95
    record_property("growth", f"{summary.growth_share:.2%} of the run")
    record_property("onnx", f"{summary.onnx.max_relative_error:.1e}")
    assert summary.grades == ("PROVED",) * 3
    assert summary.onnx.max_relative_error <= 1e-5
    assert summary.onnx_same_actions


@pytest.mark.nightly
def test_the_ant_learns_to_walk_while_it_grows(tmp_path, record_property):
    config = RECIPES["ant"].config
    summary = execute(config, RunFolder.create(tmp_path / "run", config), Console(quiet=True))
    for outcome in summary.evaluations:
        # One for each step is for being on its feet, a twentieth of the rest for a metre, less what
        # moving costs: who stands still has none of it, who acts at random loses some.
        metres = (outcome.mean_return - outcome.mean_length) / 20
        told = f"return {outcome.mean_return:,.0f}, {metres:.0f} m"
        record_property(f"{outcome.policy} policy", told)
        assert outcome.mean_return > 1_000, "what standing still earns"
        assert metres > 15
    assert summary.grades == ("PROVED",) * 2
