import pytest

from morphir_agents.networks import build_agent
from morphir_agents.recipes import RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_s_network_fits_its_task_and_its_growth_its_length(name):
    config = RECIPES[name].config
    assert config.name == name
    env = config.env.make()
    agent = build_agent(config.network, config.env.encoding(), env.action_space, config.seed)
    env.close()
    events = config.growth.schedule(agent.hidden_layers, config.ppo.total_steps)
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
        steps = [event.step for event in config.growth.schedule(1, 2_000_000)]
        assert steps == [500_000, 1_000_000, 1_500_000]
