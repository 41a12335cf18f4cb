from dataclasses import replace

import pytest
import torch

from morphir_agents.cycle import CycleConfig
from morphir_agents.methods import method_of
from morphir_agents.td3 import interact, learn, train
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import Notes, run_of


@pytest.mark.parametrize("adam_steps", ["keep", "reset"])
def test_redo_can_let_adam_count_anew_where_a_unit_starts_anew(
    tiny_td3_config, tmp_path, adam_steps
):
    """All units are awake but one of the second hidden layer of a critic; two layers have to do."""
    config = run_of(tiny_td3_config, "redo")
    method = replace(config.method, adam_steps=adam_steps, threshold=0.0)
    trainer = TD3Trainer.start(replace(config, method=method), tmp_path)
    agent = trainer.agent
    learner = TD3Learner(agent, trainer.optimizer, config.td3)
    for _ in range(40):
        interact(trainer)
    for _ in range(6):
        learn(trainer, learner)
    with torch.no_grad():
        for name in agent.hidden:
            agent.get_parameter(f"{name}.bias").fill_(9.0 if name.endswith("0") else 99.0)
        agent.critic1.get_parameter("2.bias")[3] = -900.0
    (event,) = method_of(trainer.config).act(trainer, learner)
    assert event.kind == "recycle"
    state = {p: held for each in trainer.optimizer for p, held in each.state.items()}
    steps = {n: int(state[p]["step"]) for n, p in agent.named_parameters() if p in state}
    touched = {"critic1.2.weight", "critic1.2.bias", "critic1.4.weight"}
    for name, count in steps.items():
        updates = 3 if name.startswith("actor") else 6
        assert count == (0 if adam_steps == "reset" and name in touched else updates), name
    trainer.close()


def test_the_heads_of_other_tasks_count_anew_as_well(tiny_td3_config, tmp_path):
    """CYCLE-4: a unit that starts anew does so for all heads"""
    config = run_of(tiny_td3_config, "redo")
    config = replace(
        config,
        cycle=CycleConfig(("tiny/Aim-v0", "tiny/Reach-v0"), rounds=2),
        method=replace(config.method, every=150, threshold=0.0, adam_steps="reset"),
    )
    train(config, tmp_path, Notes(2))  # to step 400, in the second visit of the first task
    trainer = TD3Trainer.start(config, tmp_path)
    agent = trainer.agent
    with torch.no_grad():
        for name in agent.hidden:
            agent.get_parameter(f"{name}.bias").fill_(9.0 if name.endswith("0") else 99.0)
        agent.critic2.get_parameter("0.bias")[3] = -900.0
    learner = TD3Learner(agent, trainer.optimizer, config.td3)
    (event,) = method_of(config).act(trainer, learner)
    assert event.kind == "recycle"
    away = {
        name.removeprefix("1."): each for name, each in trainer.moments.items() if name[0] == "1"
    }
    steps = {name: int(each) for name, each in away.items() if name.endswith(".step")}
    assert steps.pop("critic2.0.weight.step") == 0
    assert len(steps) > 3
    assert all(count > 0 for count in steps.values())
    trainer.close()
