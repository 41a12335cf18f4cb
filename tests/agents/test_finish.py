import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from rich.console import Console

import morphir
from morphir_agents.deploy import DeployedPolicy
from morphir_agents.envs import GymConfig, VectorEnv
from morphir_agents.finish import _same_actions
from morphir_agents.folder import RunFolder
from morphir_agents.growth import GrowthConfig
from morphir_agents.networks import build_agent
from morphir_agents.runs import execute


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A whole run in this process on a tiny continuous task with normalised observations."""
    from morphir_agents.config import RunConfig
    from morphir_agents.networks import NetworkConfig
    from morphir_agents.ppo import PPOConfig
    from tests.agents import tiny

    tiny.register()
    config = RunConfig(
        name="tiny run",
        env=GymConfig("tiny/Aim-v0", normalise_observations=True),
        network=NetworkConfig(width=16),
        growth=GrowthConfig("both", depths=(2,), widths=(24,)),
        ppo=PPOConfig(total_steps=4096, environments=4, rollout_steps=64, minibatch=64),
        checkpoint_every=2048,
        eval_every=2048,
        eval_episodes=4,
        final_episodes=8,
    )
    folder = RunFolder.create(tmp_path_factory.mktemp("finished") / "run", config)
    with Path(folder.path / "out.txt").open("w") as out:
        summary = execute(config, folder, Console(file=out, width=200))
    return config, folder, summary


def test_the_summary_reports_what_was_measured(finished):
    _config, folder, summary = finished
    assert [e.policy for e in summary.evaluations] == ["deterministic", "sampling"]
    assert [e.episodes for e in summary.evaluations] == [8, 8]
    assert (summary.steps, summary.grades) == (4096, ("PROVED",))
    assert (summary.hidden_layers, summary.hidden_width) == (2, 24)
    assert 0 < summary.growth_share < 1
    written = json.loads(folder.summary.read_text())
    onnx = written["onnx"]
    assert (onnx["path"], onnx["batch_sizes"]) == (str(folder.onnx), [1, 2, 7])
    assert onnx["inputs"] == {"observation": ["batch", 1]}
    assert onnx["outputs"] == {"action": ["batch", 1], "mean": ["batch", 1]}
    assert onnx["max_relative_error"] == summary.onnx.max_relative_error <= 1e-5
    assert written["onnx_same_actions"] is True


def test_the_exported_policy_takes_raw_observations_in_any_batch(finished):
    _config, folder, _ = finished
    session = onnxruntime.InferenceSession(str(folder.onnx))
    for batch in (1, 3, 50):
        raw = np.random.default_rng(0).uniform(-1, 1, (batch, 1)).astype(np.float32)
        action, mean = session.run(["action", "mean"], {"observation": raw})
        assert action.shape == mean.shape == (batch, 1)
        assert abs(action).max() <= 1.0


def test_the_stored_policy_loads_into_an_ungrown_agent(finished):
    config, folder, _ = finished
    vector, encoding = VectorEnv(config.env.make, 1), config.env.encoding()
    agent = morphir.load(
        folder.policy, lambda: build_agent(config.network, encoding, vector.action_space, 0)
    )
    assert (agent.hidden_layers, agent.hidden_width) == (2, 24)


def test_other_actions_of_the_exported_graph_are_noticed(finished):
    config, folder, _ = finished
    vector, encoding = VectorEnv(config.env.make, 1), config.env.encoding()
    other = build_agent(replace(config.network, depth=2), encoding, vector.action_space, 9)
    with torch.no_grad():
        other.policy_head.bias.fill_(0.5)
    deployed = DeployedPolicy(other, encoding, vector.action_space)
    assert not _same_actions(folder.onnx, deployed, np.linspace(-1, 1, 9)[:, None])


def test_a_finished_run_does_not_litter_the_console_with_markup(finished):
    text = (finished[1].path / "out.txt").read_text()
    assert "[bold" not in text
    assert "grew at step" in text
    assert "of the training time" in text


def test_a_td3_run_leaves_the_same_folder_and_an_actor_that_onnxruntime_repeats(
    tiny_td3_config, tmp_path
):
    config = tiny_td3_config("tiny/Aim-v0")
    folder = RunFolder.create(tmp_path / "run", config)
    summary = execute(config, folder, Console(quiet=True))
    assert [e.policy for e in summary.evaluations] == ["deterministic"]
    assert (summary.steps, summary.growth_events, summary.grades) == (600, 0, ())
    assert (summary.hidden_layers, summary.hidden_width) == (2, 16)
    assert summary.onnx_same_actions
    onnx = json.loads(folder.summary.read_text())["onnx"]
    assert onnx["inputs"] == {"observation": ["batch", 1]}
    assert onnx["outputs"] == {"action": ["batch", 1]}
    assert onnx["max_relative_error"] <= 1e-5
    page = folder.page.read_text()
    for text in ("This run kept its network", "deterministic policy", "policy_delay", "tiny/Aim"):
        assert text in page
    assert "sampling" not in page
    assert page.count("data:image/png;base64,") == 2
    assert "<h2>Plasticity</h2>" in page
    assert folder.plasticity.read_bytes().startswith(b"\x89PNG")
    assert folder.curve.read_bytes().startswith(b"\x89PNG")
    assert RunFolder.open(folder.path)[1] == config
