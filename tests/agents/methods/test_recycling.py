from dataclasses import replace

from morphir_agents.td3 import train
from tests.agents.methods.method_runs import Notes, run_of


def test_redo_can_let_adam_count_anew(tiny_td3_config, tmp_path):
    """One update follows each step, the last event is at update 480, and the run ends at 500."""
    steps = []
    for adam_steps in ("keep", "reset"):
        config = run_of(tiny_td3_config, "redo", total_steps=600)
        method = replace(config.method, adam_steps=adam_steps, threshold=0.9)
        trained = train(replace(config, method=method), tmp_path / adam_steps, Notes())
        critic = trained.agent.critic1.get_parameter("2.weight")
        steps.append(int(trained.optimizer[1].state[critic]["step"]))
    updates = 600 - config.td3.random_steps
    assert steps == [updates, updates % 40]
