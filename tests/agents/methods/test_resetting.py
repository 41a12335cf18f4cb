import torch

from morphir_agents.td3 import train
from tests.agents.methods.method_runs import Notes, run_of


def test_reset_1_after_a_reset_targets_are_equal_and_the_buffer_is_kept(tiny_td3_config, tmp_path):
    """RESET-1"""
    config = run_of(tiny_td3_config, "reset", random_steps=100, total_steps=220)
    trained = train(config, tmp_path, Notes())
    agent = trained.agent
    for name in ("actor", "critic1", "critic2"):
        target = agent.get_submodule(f"target_{name}")
        for key, parameter in agent.get_submodule(name).named_parameters():
            assert torch.equal(parameter, target.get_parameter(key))
    assert not any(state for each in trained.optimizer for state in each.state.values())
