import json
import pickletools
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from morphir_agents import checkpoint
from morphir_agents.changes import Deepen, Widen
from morphir_agents.encoding import Vector
from morphir_agents.errors import CheckpointError
from morphir_agents.growth import GrowthEvent, grow
from morphir_agents.networks import NetworkConfig, build_agent


def _factory():
    return build_agent(NetworkConfig(width=8), Vector(3, False), gym.spaces.Discrete(2), seed=0)


def _optimizer(module):
    return torch.optim.Adam(module.parameters(), lr=1e-3, eps=1e-5, fused=True)


def _learn(agent, optimizer):
    obs = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))
    optimizer.zero_grad()
    outputs, value = agent.policy_and_value(obs)
    (outputs.exp().mean() + value.square().mean()).backward()
    optimizer.step()


def _grown(*changes):
    agent = _factory()
    optimizer = _optimizer(agent)
    _learn(agent, optimizer)
    event = GrowthEvent(0, changes or (Deepen(3),))
    agent, optimizer, _ = grow(agent, optimizer, event, torch.randn(4, 3), 0)
    _learn(agent, optimizer)
    return agent, optimizer


def _progress(step=100, **arrays):
    return checkpoint.Progress(step, 7, 1, arrays)


@pytest.mark.parametrize(
    "changes",
    [(Deepen(3),), (Widen(12),), (Widen(20, "fresh"),), (Widen(12), Deepen(3)), (Widen(33),)],
)
def test_a_grown_agent_comes_back_and_learns_on_to_the_bit(tmp_path, changes):
    agent, optimizer = _grown(*changes)
    moments = {"rewards.mean": np.float64(3.5), "rewards.count": np.array([1e-4])}
    path = checkpoint.save(tmp_path, agent, optimizer, _progress(**moments))

    loaded, restored, progress = checkpoint.load(path, _factory, _optimizer)

    assert (progress.step, progress.update, progress.grown) == (100, 7, 1)
    assert progress.arrays["rewards.mean"] == 3.5
    assert (loaded.hidden_layers, loaded.hidden_width) == (agent.hidden_layers, agent.hidden_width)
    for _ in range(3):
        _learn(agent, optimizer)
        _learn(loaded, restored)
    assert agent.state_dict().keys() == loaded.state_dict().keys()
    for (name, a), b in zip(agent.named_parameters(), loaded.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_the_newest_two_are_kept_and_leftovers_of_a_kill_are_ignored(tmp_path):
    agent, optimizer = _grown()
    for step in (0, 100, 200, 1_000_000):
        checkpoint.save(tmp_path, agent, optimizer, _progress(step))
    (tmp_path / ".000002000000.partial").mkdir()
    assert [p.name for p in sorted(tmp_path.glob("[0-9]*"))] == ["000000000200", "000001000000"]
    assert checkpoint.latest(tmp_path).name == "000001000000"
    assert checkpoint.latest(tmp_path / "nowhere") is None


def test_a_partial_checkpoint_never_gets_its_name(tmp_path, monkeypatch):
    agent, optimizer = _grown()

    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(tmp_path, agent, optimizer, _progress())
    assert checkpoint.latest(tmp_path) is None


def test_nothing_in_a_checkpoint_is_a_pickle(tmp_path):
    agent, optimizer = _grown()
    path = checkpoint.save(tmp_path, agent, optimizer, _progress())
    for file in path.iterdir():
        data = file.read_bytes()
        length = int.from_bytes(data[:8], "little")
        json.loads(data[8 : 8 + length])  # safetensors: a JSON header, then numbers
        with pytest.raises(ValueError):  # noqa: PT011 - pickletools has no narrower error
            list(pickletools.genops(data))


@pytest.mark.parametrize("name", ["agent.safetensors", "state.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "noise"])
def test_a_damaged_checkpoint_gives_one_clear_error(tmp_path, name, damage):
    agent, optimizer = _grown()
    path = checkpoint.save(tmp_path, agent, optimizer, _progress())
    file: Path = path / name
    if damage == "missing":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(
            {"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff" * 500}[damage]
        )
    with pytest.raises(CheckpointError, match=r"can't be read.*Remove the folder") as caught:
        checkpoint.load(path, _factory, _optimizer)
    assert str(path) in str(caught.value)


def test_another_format_is_refused(tmp_path, monkeypatch):
    agent, optimizer = _grown()
    path = checkpoint.save(tmp_path, agent, optimizer, _progress())
    monkeypatch.setattr(checkpoint, "_FORMAT", 2)
    with pytest.raises(CheckpointError, match="format 1; this version reads format 2"):
        checkpoint.load(path, _factory, _optimizer)


@pytest.mark.parametrize(
    ("before", "after", "crossed"),
    [(0, 99, False), (0, 100, True), (99, 101, True), (100, 199, False)],
)
def test_the_grid_is_crossed_at_multiples(before, after, crossed):
    assert checkpoint.crosses_grid(before, after, 100) is crossed
