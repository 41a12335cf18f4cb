"""An option that does nothing is refused, and only such a one."""

from dataclasses import fields, replace
from typing import get_args

import pytest

from morphir_agents.amounts import Amount
from morphir_agents.cli import main
from morphir_agents.comparison.runs import find_runs
from morphir_agents.config import TD3RunConfig
from morphir_agents.errors import ConfigError
from morphir_agents.folder import RunFolder
from morphir_agents.logbook import Logbook
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.config import USED_BY, MethodKind
from morphir_agents.methods.unused import refuse_unused
from morphir_agents.recipes import RECIPES
from morphir_agents.td3 import train
from tests.agents.fingerprint import fingerprint
from tests.agents.methods.method_runs import Notes, run_of

OTHERS = {
    "as_released": True,
    "every": 30,
    "density": 0.6,
    "amount": Amount(rate=0.1),
    "prune": 0.1,
    "threshold": 0.2,
    "review_threshold": 0.5,
    "review_share": 0.5,
    "adam_steps": "reset",
    "reset_every": 130,
    "inject_at": 140,
}
"""Values that options have neither by default nor in `run_of`."""


def test_every_option_says_who_uses_it():
    assert [*USED_BY] == [each.name for each in fields(MethodConfig) if each.name != "kind"]
    assert all({*methods} <= {*get_args(MethodKind)} for methods in USED_BY.values())
    assert OTHERS.keys() == USED_BY.keys()


@pytest.mark.parametrize("option", OTHERS)
@pytest.mark.parametrize("kind", get_args(MethodKind))
def test_an_option_is_refused_if_and_only_if_the_method_does_not_use_it(kind, option):
    if option == "as_released" and kind != "ne":
        return  # which no configuration can have
    method = MethodConfig(kind, **{option: OTHERS[option]})
    if kind in USED_BY[option]:
        refuse_unused(method)
        return
    with pytest.raises(ConfigError, match=rf"method.{option}.* and --method {kind} doesn't use it"):
        refuse_unused(method)


@pytest.mark.parametrize("option", OTHERS)
def test_the_released_code_has_one_option(option):
    method = replace(MethodConfig("ne", as_released=True), **{option: OTHERS[option]})
    if option in ("as_released", "every"):
        refuse_unused(method)
        return
    with pytest.raises(ConfigError, match=r"as-released doesn't use it\. Leave one of them out"):
        refuse_unused(method)


@pytest.mark.parametrize(
    "kind",
    [
        kind if kind in ("none", "ne", "redo") else pytest.param(kind, marks=pytest.mark.nightly)
        for kind in (*get_args(MethodKind), "released")
    ],
)
def test_the_table_is_true(tiny_td3_config, tmp_path, monkeypatch, kind):
    """What a method uses it looks at, and all else may have any value."""
    config = run_of(tiny_td3_config, "ne" if kind == "released" else kind)
    if kind == "released":
        config = replace(config, method=replace(config.method, as_released=True))
    method = config.method
    unused = {name: value for name, value in OTHERS.items() if not method.uses(name)}
    unused.pop("as_released", None)
    expected, others = Notes(), Notes()
    found = fingerprint(train(config, tmp_path / "a", expected))
    changed = replace(config, method=replace(method, **unused))
    assert fingerprint(train(changed, tmp_path / "b", others)) == found
    assert others.events == expected.events

    seen, look = set(), object.__getattribute__
    monkeypatch.setattr(
        MethodConfig, "__getattribute__", lambda self, name: seen.add(name) or look(self, name)
    )
    train(config, tmp_path / "c", Notes())
    assert {name for name in OTHERS if method.uses(name)} <= seen


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "--method.density 0.1",
            "method.density is 0.1, and --method none doesn't use it. Leave it out, or give "
            "another method: ne, ne-no-pruning, ne-no-review, random-growth, rigl, static-sparse, "
            "small-dense.",
        ),
        (
            "--method redo --method.amount.rate 0.1",
            "method.amount.rate is 0.1, and --method redo doesn't use it.",
        ),
        (
            "--method ne --method.as-released --method.prune 0.1",
            "method.prune is 0.1, and --method ne with --method.as-released doesn't use it. Leave "
            "one of them out.",
        ),
        (
            "--method ne --method.amount.warm 50",
            "method.amount.warm is 50, and method.amount.shape 'cosine' doesn't use it. Leave it "
            "out, or add --method.amount.shape warm_decay.",
        ),
    ],
)
def test_it_is_refused_before_anything_is_written(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "td3-pendulum", *arguments.split()]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", get_args(MethodKind))
@pytest.mark.parametrize(
    "name", [name for name, each in RECIPES.items() if isinstance(each.config, TD3RunConfig)]
)
def test_every_recipe_takes_every_method(name, kind):
    refuse_unused(replace(RECIPES[name].config.method, kind=kind))


def test_a_run_that_was_begun_with_such_an_option_can_go_on_and_be_compared(tmp_path):
    config = replace(RECIPES["td3-pendulum"].config, method=MethodConfig(density=0.1))
    folder = RunFolder.create(tmp_path / "run", config)
    assert RunFolder.open(folder.path)[1] == config
    book = Logbook(folder.path, -1)
    book.add("evaluations", {"step": 1, "policy": "deterministic", "mean_return": 0.0})
    book.close()
    (run,) = find_runs([folder.path])
    assert run.fields["method.density"] == 0.1
