"""COMPARE-6"""

import dataclasses
import typing
from dataclasses import replace

import pytest

from morphir_agents import cli
from morphir_agents.comparison.commands import arguments
from morphir_agents.comparison.runs import fields_of
from morphir_agents.config import RunConfig
from morphir_agents.envs import GymConfig
from morphir_agents.errors import ConfigError
from morphir_agents.recipes import RECIPES


def parsed(words, folder, monkeypatch):
    """The configuration that the command line makes of these words."""
    configs = []
    monkeypatch.setattr(cli, "rehearse", lambda config: None)  # not all of these can be built
    monkeypatch.setattr(cli, "execute", lambda config, *_: configs.append(config))
    cli.main([*words, "--folder", str(folder)])
    (config,) = configs
    return config


def others(value, hint):
    """Other values that a field may have."""
    if isinstance(value, bool) or bool in typing.get_args(hint):
        yield from (not value, None)[: 1 if hint is bool else 2]
    elif isinstance(value, (int, float)):
        yield from (value + 1, value / 2 if isinstance(value, float) else value + 7)
    elif hint == tuple[str, ...]:
        yield from (value[:-1], (*value[1:], value[0])) if value else ()
    elif isinstance(value, tuple):
        yield from (value[:1], (*value, value[-1] + 1) if value else (3, 4))
    elif typing.get_origin(hint) is typing.Literal:
        yield from (each for each in typing.get_args(hint) if each != value)
    elif value is None:
        yield 3


def changed(config):
    """Configurations in which one field has another value, where such a run is possible."""
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in ("name", "seed"):
            continue
        inner = changed(value) if dataclasses.is_dataclass(value) else ()
        for other in (*inner, *others(value, hints[field.name])):
            try:
                yield replace(config, **{field.name: other})
            except ConfigError:
                continue


# One recipe for each set of fields.
KINDS = {frozenset(fields_of(recipe.config)): name for name, recipe in RECIPES.items()}


@pytest.mark.parametrize("name", KINDS.values())
def test_compare_6_every_field_of_a_recipe_survives_the_command_line(name, tmp_path, monkeypatch):
    """COMPARE-6"""
    every = list(changed(RECIPES[name].config))
    assert len(every) > 20
    for number, config in enumerate(every):
        words = arguments(fields_of(replace(config, seed=number)))
        assert words is not None
        found = parsed(words, tmp_path / str(number), monkeypatch)
        assert found == replace(config, seed=number), words


@pytest.mark.parametrize("name", RECIPES)
def test_compare_6_a_recipe_as_it_is_needs_no_options(name):
    """COMPARE-6"""
    config = replace(RECIPES[name].config, seed=3)
    assert arguments(fields_of(config)) == ["run", name, "--seed", "3"]


def test_switches_and_lists_are_written_as_the_command_line_takes_them():
    config = RECIPES["grownn-minihack-room"].config
    config = replace(
        config,
        env=replace(config.env, lit=False),
        growth=replace(config.growth, kind="both", steps=(), widths=(192, 256, 512)),
    )
    assert arguments(fields_of(config))[2:-2] == [
        *("--env.no-lit", "--growth", "both", "--growth.widths", "192", "256", "512"),
        "--growth.steps",
    ]


def test_what_no_recipe_s_options_give_has_no_command():
    assert arguments(fields_of(RunConfig(name="custom"))) is None
    room = RECIPES["grownn-minihack-room"].config
    assert arguments(fields_of(replace(room, env=GymConfig("Ant-v5")))) is None
    assert arguments(fields_of(replace(RECIPES["td3-pendulum"].config, name="ant"))) is None
