"""Whole runs as a user starts them, killed and resumed; on small rooms, with growth."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from morphir_agents.logbook import read_rows

pytest.importorskip("minihack")

SETTINGS = [
    "--env.size", "5", "--env.crop", "9", "--network.width", "32", "--seed", "5",
    "--ppo.total-steps", "16384", "--ppo.environments", "4", "--ppo.rollout-steps", "128",
    "--ppo.minibatch", "128", "--checkpoint-every", "4096", "--eval-every", "4096",
    "--eval-episodes", "4", "--final-episodes", "8", "--growth.steps", "3000", "6000", "9000",
    "--growth", "both",
]  # fmt: skip


def _start(*arguments: object) -> subprocess.Popen:
    command = [sys.executable, "-m", "morphir_agents", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(process: subprocess.Popen) -> str:
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    return output


def _lines(path: Path) -> int:
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def _wait_for_lines(path: Path, number: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 60
    while _lines(path) < number and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _results(folder: Path) -> dict:
    return {
        "metrics": (folder / "metrics.jsonl").read_bytes(),
        "evaluations": (folder / "evaluations.jsonl").read_bytes(),
        "lineage": (folder / "lineage.json").read_bytes(),
        "weights": {
            k: v.numpy().tobytes() for k, v in load_file(folder / "policy.safetensors").items()
        },
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run that nothing disturbed, and what it printed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, _finish(_start("run", "grownn-minihack-room", *SETTINGS, "--folder", folder))


def test_a_run_says_what_it_did(whole):
    folder, output = whole
    text = " ".join(output.split())
    for layers, units in (("1 -> 2", "32 -> 42"), ("2 -> 4", "42 -> 53"), ("4 -> 8", "53 -> 64")):
        assert f"{layers} hidden layers, {units} units per layer PROVED" in text
    assert text.count("PROVED") >= 3
    assert "deterministic policy over 8 episodes" in text
    assert "index.html" in text
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "config.json",
        "metrics.jsonl",
        "evaluations.jsonl",
        "growth.jsonl",
        "timings.jsonl",
        "tensorboard",
        "checkpoints",
        "learning_curve.png",
        "lineage.json",
        "policy.safetensors",
        "policy.onnx",
        "summary.json",
        "index.html",
    }


@pytest.mark.parametrize(
    "trial", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1, 11))]
)
def test_ckpt_1_killed_at_random_moments_and_resumed_equals_a_run_that_was_not(
    whole, tmp_path, trial
):
    folder, seed = tmp_path / "run", random.SystemRandom().randrange(2**32)
    generator, moments = random.Random(seed), []
    metrics = folder / "metrics.jsonl"
    process = _start("run", "grownn-minihack-room", *SETTINGS, "--folder", folder)
    for _ in range(3):
        _wait_for_lines(metrics, _lines(metrics) + generator.randrange(1, 10), process)
        time.sleep(generator.uniform(0.0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        moments.append(_lines(metrics))
        process = _start("resume", folder)
        time.sleep(1.0)
    _finish(process)
    found, expected = _results(folder), _results(whole[0])
    for name in expected:
        assert found[name] == expected[name], (
            f"{name} differs (random seed {seed}, killed at {moments})"
        )


def test_ctrl_c_saves_at_the_next_checkpoint_and_the_resumed_run_is_the_same(whole, tmp_path):
    folder = tmp_path / "run"
    process = _start("run", "grownn-minihack-room", *SETTINGS, "--folder", folder)
    _wait_for_lines(folder / "metrics.jsonl", 3, process)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Stopping at the next checkpoint" in " ".join(output.split())
    assert "morphir-agents resume" in output
    assert not (folder / "index.html").exists()
    assert [p.name for p in sorted((folder / "checkpoints").iterdir())][-1] == "000000004096"
    _finish(_start("resume", folder))
    assert _results(folder) == _results(whole[0])


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    folder = tmp_path / "run"
    slow = ["--checkpoint-every", "1000000", "--ppo.total-steps", "1000000"]
    process = _start("run", "grownn-minihack-room", *SETTINGS, *slow, "--folder", folder)
    _wait_for_lines(folder / "metrics.jsonl", 2, process)
    for _ in range(2):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.5)
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    said = " ".join(output.split())
    assert "Press Ctrl-C again to stop at once; the run then resumes from the last one." in said
    expected = "Stopped at once. Continue from the last checkpoint, at step 0, with: "
    assert f"{expected}morphir-agents resume {folder}" in said


def test_a_finished_run_is_left_alone(whole):
    folder, _ = whole
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    output = " ".join(_finish(_start("resume", folder)).split())
    assert f"This run is finished. Everything about it: {folder / 'index.html'}" in output
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_whose_end_was_not_written_completely_repeats_it(whole):
    folder, _ = whole
    before = _results(folder)
    (folder / "index.html").unlink()
    _finish(_start("resume", folder))
    assert (folder / "index.html").exists()
    assert _results(folder) == before


TD3 = [
    "--seed", "5", "--td3.total-steps", "1200", "--td3.random-steps", "110", "--td3.batch", "32",
    "--td3.replay", "500", "--td3.log-every", "20", "--network.widths", "16", "8",
    "--checkpoint-every", "300", "--eval-every", "600", "--eval-episodes", "2",
    "--final-episodes", "2",
]  # fmt: skip


def test_ckpt_1_a_td3_run_that_was_interrupted_and_killed_equals_one_that_was_not(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    _finish(_start("run", "td3-pendulum", *TD3, "--folder", whole))

    process = _start("run", "td3-pendulum", *TD3, "--folder", folder)
    _wait_for_lines(folder / "metrics.jsonl", 3, process)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Stopping at the next checkpoint" in " ".join(output.split())
    saved = sorted(path.name for path in (folder / "checkpoints").iterdir())[-1]
    assert int(saved) % 300 == 0
    assert int(saved) < 1200

    process = _start("resume", folder)
    _wait_for_lines(folder / "metrics.jsonl", int(saved) // 20 + 5, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _finish(_start("resume", folder))
    assert _results(folder) == _results(whole)


def test_ckpt_1_a_cycle_that_was_interrupted_and_killed_equals_one_that_was_not(tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    tasks = ["Pendulum-v1", "InvertedDoublePendulum-v5"]
    settings = [*TD3, "--cycle.tasks", *tasks, "--cycle.rounds", "2", "--checkpoint-every", "150"]
    output = _finish(_start("run", "td3-pendulum", *settings, "--folder", whole))
    assert "Pendulum-v1 → InvertedDoublePendulum-v5, 2 times" in output
    assert "parameters PROVED" in " ".join(output.split())
    summary = json.loads((whole / "summary.json").read_text())
    assert (summary["grades"], summary["onnx_same_actions"]) == (["PROVED"], True)

    process = _start("run", "td3-pendulum", *settings, "--folder", folder)
    _wait_for_lines(folder / "metrics.jsonl", 9, process)
    os.kill(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    # The second visit begins at step 300, or 15 lines, and has a checkpoint at 450.
    process = _start("resume", folder)
    _wait_for_lines(folder / "metrics.jsonl", 24, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    _finish(_start("resume", folder))

    assert _results(folder) == _results(whole)
    visits = [row["task"] for row in read_rows(folder / "metrics.jsonl")]
    assert visits == [name for name in tasks for _ in range(15)] * 2
    judged = [(row["step"], row["task"]) for row in read_rows(folder / "evaluations.jsonl")]
    assert judged[:3] == [(300, tasks[1]), (600, tasks[1]), (600, tasks[0])]
