"""How much of its networks Neuroplastic Expansion begins with: the table in its page."""

import re
from math import prod
from pathlib import Path

import gymnasium as gym
import pytest
import torch

import morphir
from morphir.passes.densities import densities
from morphir_agents.recipes import RECIPES
from morphir_agents.td3_networks import TD3Agent, build_td3_agent

PAGE = Path(__file__).resolve().parents[3] / "spec" / "neuroplastic.md"
CONFIG = RECIPES["ne-halfcheetah"].config
TASKS = {"HalfCheetah": (17, 6), "Humanoid": (348, 17)}  # numbers of an observation, of an action


def weights(agent: TD3Agent, network: str) -> dict[str, tuple[int, ...]]:
    """The shapes of the weights of a network."""
    named = agent.get_submodule(network).named_parameters(network)
    return {name: tuple(each.shape) for name, each in named if each.dim() == 2}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("network", ["actor", "critic"])
def test_the_page_says_what_is_in_use_at_the_start(task: str, network: str):
    observation, action = TASKS[task]
    space = gym.spaces.Box(-1, 1, (action,))
    agent = build_td3_agent(CONFIG.network, observation, space, 0.1, 0)
    prefix = "actor" if network == "actor" else "critic1"
    shapes = weights(agent, prefix)
    by_rule = densities(shapes, CONFIG.method.density)
    at = [name for name in agent.backbone if name.startswith(prefix)]
    inputs = {
        "act": (torch.randn(2, observation),),
        "get_values": (torch.randn(2, observation), torch.randn(2, action)),
    }
    sparse = morphir.transform(
        agent,
        morphir.SparsifyPass(CONFIG.method.density, at=at),
        example_inputs=inputs,
        entry_points=tuple(inputs),
    ).module
    used = {n: int(mask.sum()) for n, mask in morphir.Masks(sparse).masks.items()}
    sizes = {name: prod(shape) for name, shape in shapes.items()}
    own = {name: used.get(name, size) / size for name, size in sizes.items()}
    share = sum(own[name] * size for name, size in sizes.items()) / sum(sizes.values())
    columns = [f"{task}, {network}", f"{100 * share:.0f} %"]
    columns += [", ".join(_short(each) for each in found.values()) for found in (own, by_rule)]
    page = " ".join(PAGE.read_text(encoding="utf8").split())
    assert "| " + " | ".join(columns) + " |" in page
    if task == "Humanoid":
        first = sizes[f"{prefix}.0.weight"] / sum(sizes.values())
        assert re.search(rf"{100 * first:.0f} % of an? {network}", page)


def _short(density: float) -> str:
    return "1" if density == 1 else f"{density:.2f}"
