"""Updates per CPU-second of our TD3 and of Stable-Baselines3's, and of the bare arithmetic.

    python benchmarks/td3_speed.py [--rounds 7] [--seconds 1.5] [--sizes 256x256 64x64 ...]

On the dimensions of HalfCheetah, with the same networks, batch, learning rate and buffer, in one
process on one thread, taking turns. An update is what happens between two steps of the environment:
sampling, both critics, every second time the actor and all targets. What is counted is the
process's CPU time.

`arithmetic` is the time of the matrix products that an update can't do without, in the same shapes,
on buffers that are there already: the forward passes of all networks, and on the way back, for each
layer, the gradient of its weights and that of what came in where someone needs it. The actor's step
needs no gradient of a critic's weights. Biases, activations, losses, Adam and sampling are not in
it, so no implementation reaches it. Writes `results/td3_speed.json`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from results import write_results
from stable_baselines3 import TD3
from stable_baselines3.common.logger import Logger

from morphir_agents import TD3Config, TD3NetworkConfig, TD3RunConfig
from morphir_agents.td3 import learn
from morphir_agents.td3_learner import TD3Learner
from morphir_agents.td3_trainer import TD3Trainer

Work = Callable[[int], None]
"""Does so many updates."""

OBSERVATION, ACTION, FILLED = 17, 6, 50_000


@dataclass(frozen=True)
class Size:
    """Networks and batch, and the ratios of medians that the project promises."""

    widths: tuple[int, ...]
    batch: int
    target: float | None = None


SIZES = {
    "256x256": Size((256, 256), 256, 1.25),
    "64x64": Size((64, 64), 64, 2.0),
    "256x128": Size((256, 128), 256),
    "400x300": Size((400, 300), 256),
}


def transitions() -> tuple[np.ndarray, ...]:
    """What both buffers are filled with: observations, actions, rewards, next observations."""
    generator = np.random.default_rng(0)
    return (
        generator.normal(size=(FILLED, OBSERVATION)),
        generator.uniform(-1.0, 1.0, (FILLED, ACTION)),
        generator.normal(size=FILLED),
        generator.normal(size=(FILLED, OBSERVATION)),
    )


def ours(size: Size) -> Work:
    """What `train` does between two steps of the environment."""
    config = TD3RunConfig(
        network=TD3NetworkConfig(size.widths), td3=TD3Config(batch=size.batch, replay=2 * FILLED)
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = TD3Trainer.start(config, Path(folder))
    learner = TD3Learner(trainer.agent, trainer.optimizer, config.td3)
    for seen, action, reward, after in zip(*transitions(), strict=True):
        trainer.replay.add(seen, action, reward, False, after)
        trainer.replay.cut()
    trainer.close()

    def work(updates: int) -> None:
        for _ in range(updates):
            learn(trainer, learner)

    return work


def theirs(size: Size) -> Work:
    """Stable-Baselines3's `TD3.train` with the same settings; its logger writes nowhere."""
    model = TD3(
        "MlpPolicy",
        gym.make("HalfCheetah-v5"),
        learning_rate=3e-4,
        batch_size=size.batch,
        buffer_size=2 * FILLED,
        policy_kwargs={"net_arch": list(size.widths)},
        seed=0,
        device="cpu",
    )
    model.set_logger(Logger(None, []))
    for seen, action, reward, after in zip(*transitions(), strict=True):
        model.replay_buffer.add(seen, after, action, reward, np.zeros(1), [{}])
    return lambda updates: model.train(updates, size.batch)


def arithmetic(size: Size) -> Work:
    """The matrix products of an update and no more."""
    actor = Products(OBSERVATION, size.widths, ACTION, size.batch)
    critic = Products(OBSERVATION + ACTION, size.widths, 1, size.batch)

    def work(updates: int) -> None:
        for number in range(1, updates + 1):
            actor.forward()  # that of the target
            for _ in range(2):
                critic.forward()  # a target
                critic.forward()
                critic.backward(weights=True, inputs=False)
            if number % 2 == 0:
                actor.forward()
                critic.forward()
                critic.backward(weights=False, inputs=True)
                actor.backward(weights=True, inputs=False)

    return work


class Products:
    """The matrix products of one network on numbers of no meaning."""

    def __init__(self, inputs: int, widths: tuple[int, ...], outputs: int, batch: int) -> None:
        self._layers = [
            (torch.randn(batch, a), torch.randn(b, a), torch.randn(batch, b))
            for a, b in itertools.pairwise([inputs, *widths, outputs])
        ]
        self._results = [
            (torch.empty_like(x), torch.empty_like(w), torch.empty_like(y))
            for x, w, y in self._layers
        ]

    def forward(self) -> None:
        """The outputs of all layers."""
        for (x, weight, _), (_, _, out) in zip(self._layers, self._results, strict=True):
            torch.mm(x, weight.t(), out=out)

    def backward(self, weights: bool, inputs: bool) -> None:
        """The gradients of all layers' inputs, that of the first only if it is wanted."""
        for i, ((x, weight, y), (x_out, weight_out, _)) in enumerate(
            zip(self._layers, self._results, strict=True)
        ):
            if weights:
                torch.mm(y.t(), x, out=weight_out)
            if i or inputs:
                torch.mm(y, weight, out=x_out)


def measure(name: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of CPU per update of every side, in turns; the first round is not counted."""
    size = SIZES[name]
    sides = {"ours": ours(size), "sb3": theirs(size), "arithmetic": arithmetic(size)}
    found: dict[str, list[float]] = {side: [] for side in sides}
    updates = dict.fromkeys(sides, 20)
    for number in range(rounds + 1):
        for side, work in sides.items():
            start = time.process_time()
            work(updates[side])
            each = (time.process_time() - start) / updates[side]
            if number:
                found[side].append(1000 * each)
            else:
                updates[side] = 2 * max(10, int(seconds / each / 2))
    median = {side: statistics.median(values) for side, values in found.items()}
    return {
        "widths": size.widths,
        "batch": size.batch,
        "rounds": rounds,
        "updates_per_round": updates,
        "cpu_milliseconds_per_update": found,
        "median": median,
        "ratio_of_medians": median["sb3"] / median["ours"],
        "ratio_of_bests": min(found["sb3"]) / min(found["ours"]),
        "share_of_arithmetic": {
            side: median["arithmetic"] / median[side] for side in ("ours", "sb3")
        },
        "target": size.target,
    }


def main() -> None:
    """Measure the sizes and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds")
    parser.add_argument("--seconds", type=float, default=1.5, help="CPU seconds a side and round")
    parser.add_argument("--sizes", nargs="+", choices=sorted(SIZES), default=list(SIZES))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measure(name, arguments.rounds, arguments.seconds) for name in arguments.sizes]
    for row in rows:
        name = f"{'x'.join(map(str, row['widths']))}, batch {row['batch']}"
        for side, times in row["cpu_milliseconds_per_update"].items():
            share = row["share_of_arithmetic"].get(side)
            print(
                f"{name:<19} {side:<10} {row['median'][side]:6.2f} ms of CPU per update "
                f"({min(times):.2f}-{max(times):.2f})"
                + (f", {share:.0%} of the arithmetic limit" if share else "")
            )
        promised = f" (target {row['target']})" if row["target"] else ""
        print(f"{name:<19} sb3 / ours: {row['ratio_of_medians']:.2f}{promised}")
    print("written to", write_results("td3_speed", rows))


if __name__ == "__main__":
    main()
