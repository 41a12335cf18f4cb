"""A schedule of which less than one weight is left at every event is refused."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import morphir
from morphir_agents.amounts import Amount
from morphir_agents.checkpoint import crosses_grid
from morphir_agents.cli import main
from morphir_agents.config import TD3RunConfig
from morphir_agents.cycle import CycleConfig
from morphir_agents.errors import ConfigError
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.rounding import _largest, _largest_at, refuse_rounded_away
from morphir_agents.td3 import TD3Config, train
from morphir_agents.td3_networks import TD3NetworkConfig
from tests.agents.methods.method_runs import Notes, run_of


@pytest.mark.parametrize("kind", ["ne", "ne-no-pruning", "ne-no-review", "random-growth", "rigl"])
def test_it_is_refused_before_anything_is_written(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = ["run", "td3-pendulum", "--method", kind, "--td3.total-steps", "2100"]
    assert main(arguments) == 1
    said = " ".join(capsys.readouterr().err.split())
    what = "move" if kind == "rigl" else "grow"
    count = "1,024 weights that are in use" if kind == "rigl" else "3,072 weights that are not in"
    assert f"At its events --method {kind} would {what} at most 4.5e-05 of a layer's" in said
    assert count in said
    assert "less than one: nothing would ever happen. Give a longer run, or a larger" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "remedy"),
    [
        ({}, "a larger --method.amount.rate, such as 0.12"),
        ({"density": 1.0}, "a smaller --method.every"),
        ({"amount": Amount(end=2001)}, "a smaller --method.every"),
    ],
)
def test_what_is_proposed_would_help(options, remedy):
    td3 = TD3Config(total_steps=2_100, random_steps=1_000)
    config = TD3RunConfig(
        network=TD3NetworkConfig((64, 64)), td3=td3, method=MethodConfig("ne", **options)
    )
    with pytest.raises(ConfigError, match=remedy):
        refuse_rounded_away(config)
    if not options:
        refuse_rounded_away(replace(config, method=MethodConfig("ne", amount=Amount(rate=0.12))))


@pytest.mark.parametrize(
    "method", [MethodConfig("none"), MethodConfig("static-sparse"), MethodConfig("ne", True)]
)
def test_other_methods_are_left_alone(method):
    refuse_rounded_away(
        TD3RunConfig(td3=TD3Config(total_steps=2_100, random_steps=1_000), method=method)
    )


@given(
    st.sampled_from(["constant", "cosine", "warm_decay"]),
    st.integers(1, 60),
    st.integers(0, 500),
    st.integers(1, 3),
    st.sampled_from([(), ("A-v0", "B-v0")]),
    st.integers(1, 40),
)
def test_no_event_has_a_larger_share(shape, every, warm, updates_per_step, tasks, random_steps):
    """NE-3"""
    td3 = TD3Config(total_steps=600, random_steps=random_steps, updates_per_step=updates_per_step)
    method = MethodConfig("ne", every=every, amount=Amount(shape, rate=0.5, warm=warm))
    config = TD3RunConfig(td3=td3, cycle=CycleConfig(tasks, rounds=2), method=method)
    amount = method.amount.ending(600)
    every_event = [
        step
        for step in range(1, 601)
        if crosses_grid(config.updates_by(step - 1), config.updates_by(step), every)
    ]
    found = _largest_at(config)
    assert {*found} <= {*every_event}
    assert max(map(amount.share, found)) == max(map(amount.share, every_event))


@pytest.mark.parametrize("widths", [(12, 10), (9, 14, 5, 6)])
@pytest.mark.parametrize("density", [0.25, 0.61])
def test_weights_are_those_that_a_run_begins_with(tiny_td3_config, tmp_path, widths, density):
    config = run_of(tiny_td3_config, "static-sparse", total_steps=101)
    config = replace(config, network=TD3NetworkConfig(widths))
    config = replace(config, method=replace(config.method, density=density))
    trained = train(config, tmp_path, Notes())
    masks = morphir.Masks(trained.agent).masks.values()
    assert _largest(config, False) == max(int((mask == 0).sum()) for mask in masks)
    assert _largest(config, True) == max(int(mask.sum()) for mask in masks)


@pytest.mark.parametrize("kind", ["random-growth", "rigl"])
@pytest.mark.parametrize("rate", [0.012, 0.3])
def test_what_is_refused_would_have_done_nothing_and_what_is_not_does(
    tiny_td3_config, tmp_path, kind, rate
):
    config = run_of(tiny_td3_config, kind)
    amount = Amount("cosine", rate=rate)
    config = replace(config, method=replace(config.method, every=250, amount=amount))
    notes = Notes()
    train(config, tmp_path, notes)
    acted = [event.kind for event in notes.events] != ["sparsify"]
    assert acted == (rate == 0.3)
    if acted:
        refuse_rounded_away(config)
    else:
        with pytest.raises(ConfigError, match="nothing would ever happen"):
            refuse_rounded_away(config)
