"""How good a policy is: its deterministic and its sampling form, over the same fixed levels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import torch

from morphir_agents.encoding import Encoding
from morphir_agents.envs import Episode, VectorEnv
from morphir_agents.policy import Policy

__all__ = ["Evaluation", "evaluate"]


@final
@dataclass(frozen=True)
class Evaluation:
    """The outcome of some episodes."""

    policy: str
    episodes: int
    success_rate: float
    mean_return: float
    mean_length: float


def evaluate(
    agent: Policy,
    vector: VectorEnv,
    encoding: Encoding,
    episodes: int,
    key: Sequence[int],
    deterministic: bool,
) -> Evaluation:
    """Play exactly the first levels of the sequence `key`, whatever the number of environments.

    Counting whatever ends first would favour short episodes.
    """
    generator = np.random.default_rng(np.random.SeedSequence([*key, 1]))
    vector.restart(key, shared_order=True)
    done: dict[int, Episode] = {}
    with torch.inference_mode():
        while len(done) < episodes:
            observation = torch.tensor(encoding.encode(vector.observations), device=agent.device)
            if deterministic:
                vector.step(agent.act(observation).cpu().numpy())
            else:
                vector.step(agent.draw(observation, generator))
            for episode in vector.take_finished():
                if episode.index < episodes:
                    done[episode.index] = episode
    played = list(done.values())
    return Evaluation(
        policy="deterministic" if deterministic else "sampling",
        episodes=episodes,
        success_rate=float(np.mean([e.success for e in played])),
        mean_return=float(np.mean([e.episode_return for e in played])),
        mean_length=float(np.mean([e.length for e in played])),
    )
