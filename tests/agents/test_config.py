import dataclasses
import json

import pytest

from morphir_agents.config import BaseRunConfig, RunConfig, TD3RunConfig, from_json, to_json
from morphir_agents.envs import GymConfig, RoomConfig
from morphir_agents.errors import ConfigError
from morphir_agents.growth import GrowthConfig
from morphir_agents.networks import NetworkConfig
from morphir_agents.ppo import PPOConfig
from morphir_agents.recipes import RECIPES
from morphir_agents.td3 import TD3Config
from morphir_agents.td3_networks import TD3NetworkConfig


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_a_trip_through_json(name):
    config = RECIPES[name].config
    assert from_json(to_json(config)) == config


def test_changed_settings_survive_too():
    config = RunConfig(
        seed=7,
        env=GymConfig("Hopper-v5", contact_forces=None, max_episode_steps=10),
        growth=GrowthConfig("both", depths=(2, 4), widths=(192, 256), steps=(5, 9), init="fresh"),
    )
    back = from_json(to_json(config))
    assert back == config
    assert isinstance(back.growth.depths, tuple)
    assert isinstance(back.growth.widths, tuple)
    assert back.env.kind == "gym"


def test_a_configuration_from_before_networks_widened_is_read_as_it_was_meant():
    config = RunConfig(growth=GrowthConfig(depths=(2, 4), steps=(5, 9)))
    tree = json.loads(to_json(config))
    for name in ("kind", "widths", "init"):
        del tree["growth"][name]
    del tree["algorithm"]  # there was only PPO then
    assert from_json(json.dumps(tree)) == config


def test_a_td3_run_is_read_as_one():
    config = TD3RunConfig(network=TD3NetworkConfig((256, 128)), td3=TD3Config(batch=64))
    back = from_json(to_json(config))
    assert back == config
    assert isinstance(back, TD3RunConfig)
    assert isinstance(back.network.widths, tuple)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"device": "meta"},
            r"device is 'meta', which torch can't use here: it holds no numbers\. Leave it",
        ),
        (
            {"seed": 2**63},
            r"seed is 9223372036854775808; expected 0 or more, less than 2\*\*63",
        ),
        (
            {"device": "nonsense"},
            r"device is 'nonsense', which torch can't use here: .*\w\. Leave it",
        ),
        ({"env": GymConfig("Pendulum-v1", normalise_observations=True)}, "Leave it off"),
    ],
)
def test_what_td3_can_not_do_is_refused_at_once(settings, message):
    with pytest.raises(ConfigError, match=message):
        TD3RunConfig(**settings)


def test_every_field_of_a_configuration_says_what_it_is():
    import inspect

    def check(cls):
        source = inspect.getsource(cls)
        own = inspect.get_annotations(cls)
        for field in (field for field in dataclasses.fields(cls) if field.name in own):
            line = next(
                k
                for k, text in enumerate(source.splitlines())
                if text.strip().startswith(f"{field.name}:")
            )
            following = source.splitlines()[line + 1].strip()
            assert following.startswith('"""'), f"{cls.__name__}.{field.name} has no docstring"

    for cls in (BaseRunConfig, RunConfig, TD3RunConfig, RoomConfig, GymConfig, GrowthConfig):
        check(cls)
    for cls in (NetworkConfig, PPOConfig, TD3NetworkConfig, TD3Config):
        check(cls)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(colour="red"),
        lambda tree: tree.update(algorithm="td3"),
        lambda tree: tree.update(algorithm="alchemy"),
        lambda tree: tree["ppo"].update(gamma=0.9),
        lambda tree: tree["env"].update(kind="chess"),
        lambda tree: tree.pop("env"),
        lambda tree: tree["ppo"].update(epochs=0),
        lambda tree: tree["growth"].update(kind="sideways"),
    ],
)
def test_what_is_not_a_configuration_is_refused(change):
    tree = json.loads(to_json(RunConfig()))
    change(tree)
    with pytest.raises(ConfigError):
        from_json(json.dumps(tree))
    with pytest.raises(ConfigError, match="not a run configuration"):
        from_json("{")


@pytest.mark.parametrize("field", ["checkpoint_every", "eval_episodes", "threads"])
def test_impossible_settings_are_refused_at_once(field):
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(RunConfig(), **{field: 0})
    with pytest.raises(ConfigError, match="seed"):
        RunConfig(seed=-1)


def test_identity_layers_that_could_not_be_exact_are_refused_at_once():
    tanh = NetworkConfig(activation="tanh")
    with pytest.raises(ConfigError, match="exact after relu only"):
        RunConfig(network=tanh, growth=GrowthConfig(depths=(2,)))
    RunConfig(network=tanh)
    RunConfig(network=tanh, growth=GrowthConfig("wider", depths=(2,)))
    RunConfig(network=tanh, growth=GrowthConfig(depths=(2,), block="residual"))
