"""NE-6: Neuroplastic Expansion as its released code runs."""

from dataclasses import replace

import numpy as np
import pytest

import morphir
from morphir_agents.amounts import Amount
from morphir_agents.cli import main
from morphir_agents.methods import MethodConfig, method_of
from morphir_agents.td3 import interact, learn, train
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_networks import TD3NetworkConfig
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import Notes, run_of


def test_ne_6_as_released_a_layer_grows_by_a_constant_and_loses_0_4_of_that(
    tiny_td3_config, tmp_path
):
    """NE-6"""
    config = run_of(tiny_td3_config, "ne", total_steps=400)
    method = MethodConfig("ne", every=40, as_released=True)
    config = replace(config, method=method, network=TD3NetworkConfig((40, 30)))
    notes = Notes()
    trained = train(config, tmp_path, notes)
    first, *others = notes.events
    assert (first.kind, first.update) == ("sparsify", 0)
    masks = morphir.Masks(trained.agent).masks
    assert {*masks} == {
        f"{n}.{i}.weight" for n in ("actor", "critic1", "critic2") for i in (0, 2, 4)
    }
    # Of the critics' 40 x 30 weights 160 or so are in use at first, of which 960 would be 0.8.
    for event in others:
        assert event.kind == "grow"
        assert event.began > event.ceased > 0
    critics = [event for event in others if event.critic_churn or event.update % 80]
    assert [event.update for event in critics][:3] == [40, 80, 120]
    state = {p: held for each in trained.optimizer for p, held in each.state.items()}
    sparse = trained.agent.get_parameter("critic1.2.weight")
    bias = trained.agent.get_parameter("critic1.2.bias")
    assert int(state[sparse]["step"]) < 40 <= int(state[bias]["step"])


def test_ne_6_from_a_density_of_three_quarters_on_weights_move(tiny_td3_config, tmp_path):
    """NE-6"""
    config = run_of(tiny_td3_config, "ne", total_steps=600, random_steps=40)
    config = replace(config, method=MethodConfig("ne", every=40, as_released=True))
    trainer = TD3Trainer.start(config, tmp_path)
    trainer.method.begin(trainer)
    learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
    for _ in range(60):
        interact(trainer)
    learn(trainer, learner)
    masks = morphir.Masks(trainer.agent).masks
    for name, mask in masks.items():
        if name.startswith("critic"):
            mask.fill_(1)
    for kind in ("grow", "move"):
        assert trainer.method.is_due(39, 40)
        (event,) = trainer.method.act(trainer, learner)
        assert event.kind == kind
    again = method_of(config)
    again.load(trainer.method.state())
    assert again.state() == trainer.method.state()


def test_ne_6_the_horizon_is_counted_in_updates(tiny_td3_config):
    """NE-6"""
    config = run_of(tiny_td3_config, "ne", total_steps=440, random_steps=40)
    config = replace(config, method=MethodConfig("ne", every=40, as_released=True))
    config = replace(config, td3=replace(config.td3, updates_per_step=2))
    method = method_of(config)
    method.load({"full since critic": np.array(0)})
    shares = [method.moving("critic", updates) for updates in (0, 400, 800)]
    assert shares == pytest.approx([0.2, 0.1, 0])


def test_ne_6_of_the_other_settings_only_every_counts(tiny_td3_config, tmp_path, capsys):
    """NE-6, and the help says so"""
    config = run_of(tiny_td3_config, "ne", total_steps=250)
    told = []
    for number, settings in enumerate(
        [
            {},
            {"density": 0.9, "prune": 0.0, "amount": Amount("constant", rate=1.0, end=9)},
            {"threshold": 9.0, "review_threshold": 9.0, "review_share": 1.0, "adam_steps": "reset"},
            {"reset_every": 10, "inject_at": 10},
            {"every": 50},
        ]
    ):
        method = MethodConfig("ne", as_released=True, **{"every": 40, **settings})
        notes = Notes()
        train(replace(config, method=method), tmp_path / str(number), notes)
        told.append(notes.events)
    assert all(events == told[0] for events in told[:-1])
    assert told[-1] != told[0]
    with pytest.raises(SystemExit):
        main(["run", "td3-pendulum", "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "that code has 100, so add --method.every 100" in shown
