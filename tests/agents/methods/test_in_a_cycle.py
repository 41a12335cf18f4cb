"""Every method on a backbone that two tasks share, each with a head of its own."""

from dataclasses import replace

import pytest
import torch

from morphir_agents.cycle import CycleConfig
from morphir_agents.heads import heads_of
from morphir_agents.methods import method_of
from morphir_agents.td3 import train
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.fingerprint import fingerprint
from tests.agents.methods.method_runs import CHANGING, Notes, run_of

TASKS = CycleConfig(("tiny/Aim-v0", "tiny/Reach-v0"), rounds=2)


def cycle_of(tiny_td3_config, kind):
    """Visits begin at 0, 150, 300 and 450; 50 updates each, and checkpoints every 200 steps."""
    config = run_of(tiny_td3_config, kind)
    method = replace(config.method, every=25, inject_at=70)
    return replace(config, cycle=TASKS, method=method)


@pytest.mark.parametrize(
    "kind",
    [
        k if k in ("ne", "injection") else pytest.param(k, marks=pytest.mark.nightly)
        for k in CHANGING
    ],
)
def test_ckpt_1_a_cycle_stopped_and_resumed_equals_one_that_was_not(
    tiny_td3_config, tmp_path, kind
):
    """CKPT-1, CYCLE-1"""
    config = cycle_of(tiny_td3_config, kind)
    whole, first, second = Notes(), Notes(2), Notes()
    expected = train(config, tmp_path / "whole", whole)
    assert not train(config, tmp_path / "parts", first).finished
    resumed = train(config, tmp_path / "parts", second)
    assert fingerprint(resumed) == fingerprint(expected)
    assert first.events + second.events == whole.events != []


def test_reset_1_the_heads_of_all_tasks_start_anew(tiny_td3_config, tmp_path):
    """RESET-1, CYCLE-3: each drawn as for it alone, the same in the targets, with no moments"""
    config = cycle_of(tiny_td3_config, "reset")
    config = replace(config, network=replace(config.network, widths=(200, 100)))
    train(config, tmp_path, Notes(2))  # to step 400, in the second visit of the first task
    trainer = TD3Trainer.start(config, tmp_path)
    agent = trainer.agent
    assert (trainer.visit, agent.task) == (2, 0)
    assert trainer.moments
    before = {name: layer.weight.clone() for name, layer in heads_of(agent)}
    method_of(config).act(trainer, None)
    assert (agent.task, trainer.moments) == (0, {})
    for task in (0, 1):
        agent.select(task)
        for name, layer in heads_of(agent):
            weight, _ = layer.used(layer.weight, layer.bias)
            bound = weight.shape[1] ** -0.5
            assert 0.8 * bound < float(weight.detach().abs().max()) <= bound, name
            assert not torch.isclose(weight, layer.part_of(before[name])).any()
    state = {p: held for each in trainer.optimizer for p, held in each.state.items()}
    for name, layer in heads_of(agent):
        if not name.startswith("target"):
            twin = agent.get_submodule(f"target_{name}")
            for own in ("weight", "bias"):
                parameter = layer.get_parameter(own)
                assert torch.equal(parameter, twin.get_parameter(own))
                assert all(not entry.any() for entry in state.get(parameter, {}).values())
    trainer.close()


def test_cycle_4_a_unit_that_starts_anew_does_so_in_the_heads_of_all_tasks(
    tiny_td3_config, tmp_path
):
    """CYCLE-4: to the bit, in weights and in moments that wait, and nothing else of other heads"""
    config = cycle_of(tiny_td3_config, "redo")
    config = replace(config, method=replace(config.method, every=150, threshold=0.5))
    train(config, tmp_path, Notes(2))  # to step 400, in the second visit of the first task
    trainer = TD3Trainer.start(config, tmp_path)
    agent = trainer.agent
    before = {name: p.detach().clone() for name, p in agent.named_parameters()}
    moments = {name: entry.clone() for name, entry in trainer.moments.items()}
    learner = TD3Learner(agent, trainer.optimizer, config.td3)
    (event,) = method_of(config).act(trainer, learner)
    assert (event.kind, agent.task) == ("recycle", 0)
    agent.select(1)
    for name, layer in heads_of(agent):
        if name.startswith("target"):
            continue
        for own in layer.own:
            changed = layer.part_of(layer.get_parameter(own) != before[f"{name}.{own}"])
            assert bool(changed.any()) == (own == "weight")
            assert not bool(changed.all())
            for entry in ("exp_avg", "exp_avg_sq"):
                key = f"1.{name}.{own}.{entry}"
                assert moments[key].any()
                expected = torch.where(changed, 0.0, moments[key])
                assert torch.equal(trainer.moments[key], expected)
    trainer.close()
