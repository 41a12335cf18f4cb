"""A method that would never act is refused before a run begins."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphir_agents.amounts import Amount
from morphir_agents.cli import main
from morphir_agents.config import TD3RunConfig
from morphir_agents.cycle import CycleConfig
from morphir_agents.errors import ConfigError
from morphir_agents.methods import MethodConfig
from morphir_agents.td3 import TD3Config, train
from tests.agents.methods.method_runs import Notes, run_of

PENDULUM = TD3Config(total_steps=15_000, random_steps=1_000)
ACTING = ("ne", "ne-no-pruning", "ne-no-review", "random-growth", "rigl", "redo")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("injection",),
            "method.inject_at is 500,000, and the run makes 14,000 updates: --method injection "
            "would never act. Give a smaller one, such as --method.inject-at 7000.",
        ),
        (("reset",), "such as --method.reset-every 6999."),
        (("redo", "--method.every", "14001"), "such as --method.every 1400."),
        (("ne", "--method.as-released", "--method.every", "20000"), "such as --method.every 1400."),
        (
            ("rigl", "--method.amount.end", "2000"),
            "method.every is 1,000, and the run makes 999 updates before step 2,000, "
            "where the method ends (method.amount.end)",
        ),
        (("ne", "--method.every", "14000"), "13,999 updates before step 15,000, where"),
        (
            ("redo", "--td3.random-steps", "15000"),
            "the run makes no updates: --method redo would never act. Give --td3.total-steps more "
            "than td3.random_steps, 15,000.",
        ),
        (
            ("ne", "--method.amount.end", "1000"),
            "method.amount.end is 1,000, and no update is made before that: --method ne would "
            "never act. Give a larger one, such as --method.amount.end 15000.",
        ),
    ],
)
def test_what_would_never_happen_is_refused_before_anything_is_written(
    arguments, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "td3-pendulum", "--method", *arguments]) == 1
    assert message in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("injection", {"inject_at": 14_000}),
        ("reset", {"reset_every": 13_999}),
        ("redo", {"every": 14_000}),
        ("ne", {"every": 13_999}),
        ("ne", {"every": 14_000, "as_released": True}),
        ("static-sparse", {"every": 10**6}),
        ("none", {"every": 10**6}),
        ("small-dense", {"every": 10**6}),
    ],
)
def test_what_happens_once_or_is_not_about_events_is_not(kind, options):
    TD3RunConfig(td3=PENDULUM, method=MethodConfig(kind, **options))


@given(
    st.sampled_from([*ACTING, "reset", "injection"]),
    st.integers(1, 4),
    st.integers(1, 10**6),
    st.integers(2, 10**6),
    st.integers(0, 10**6),
)
def test_the_value_that_is_named_fits(kind, updates_per_step, value, total_steps, random_steps):
    td3 = TD3Config(
        total_steps=total_steps, random_steps=random_steps, updates_per_step=updates_per_step
    )
    settings = dict.fromkeys(("every", "reset_every", "inject_at"), value)
    try:
        TD3RunConfig(td3=td3, method=MethodConfig(kind, **settings))
    except ConfigError as error:
        *_, flag, named = str(error).removesuffix(".").split()
        if flag.startswith("--method."):
            name = flag.removeprefix("--method.").replace("-", "_")
            settings[name] = int(named)
            TD3RunConfig(td3=td3, method=MethodConfig(kind, **settings))
        else:
            assert random_steps >= total_steps - 1


@pytest.mark.parametrize("updates_per_step", [1, 3])
@pytest.mark.parametrize("tasks", [(), ("tiny/Aim-v0", "tiny/Reach-v0")])
def test_a_run_makes_as_many_updates_as_its_configuration_says(
    tiny_td3_config, tmp_path, tasks, updates_per_step
):
    config = run_of(tiny_td3_config, "none", random_steps=90, updates_per_step=updates_per_step)
    config = replace(
        config, cycle=CycleConfig(tasks, rounds=2), td3=replace(config.td3, log_every=50)
    )
    made = []

    class Counts(Notes):
        def updated(self, step, update, episodes, losses, agent):
            made.append((step, update))

    train(config, tmp_path, Counts())
    assert made == [(step, config.updates_by(step)) for step in range(50, 601, 50)]
    assert made[-1][1] == config.updates_by(600) > 0


def test_the_last_event_that_is_allowed_happens(tiny_td3_config, tmp_path):
    """The run makes 500 updates, of which all but the last 100 come before the end of growth."""
    config = run_of(tiny_td3_config, "random-growth")
    method = replace(config.method, every=399, amount=Amount("constant", end=500, rate=0.2))
    notes = Notes()
    train(replace(config, method=method), tmp_path, notes)
    assert [(event.kind, event.step) for event in notes.events] == [("sparsify", 0), ("grow", 499)]
    with pytest.raises(ConfigError, match="399 updates before step 500"):
        replace(config, method=replace(method, every=400))
