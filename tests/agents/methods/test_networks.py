"""The networks that methods begin with."""

from dataclasses import replace
from itertools import pairwise
from math import prod

import gymnasium as gym
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir_agents.config import TD3RunConfig
from morphir_agents.errors import ConfigError
from morphir_agents.methods import MethodConfig
from morphir_agents.methods.networks import narrowed, network_of
from morphir_agents.recipes import RECIPES
from morphir_agents.td3 import train
from morphir_agents.td3_networks import TD3NetworkConfig, build_td3_agent
from morphir_agents.td3_trainer import TD3Trainer
from tests.agents.methods.method_runs import SPARSE, Notes


def weights(widths: tuple[int, ...], inputs: int, density: float = 1.0) -> float:
    """Of a critic; all layers but the first and the last have that density."""
    first, *between, last = pairwise([inputs, *widths, 1])
    return prod(first) + prod(last) + density * sum(map(prod, between))


@given(st.lists(st.integers(4, 60), min_size=2, max_size=3), st.integers(1, 40), st.floats(0.2, 1))
def test_small_dense_networks_are_the_widest_that_are_small_enough(widths, inputs, density):
    limit = weights(tuple(widths), inputs, density)
    found = narrowed(tuple(widths), inputs, density)
    assert max(found) == 1 or weights(found, inputs) <= limit
    largest = max(widths)
    if max(found) < largest:
        wider = tuple(max(1, w * (max(found) + 1) // largest) for w in widths)
        assert weights(wider, inputs) > limit


def test_of_the_paper_s_networks():
    assert narrowed((256, 256), 23, 1.0) == (256, 256)
    assert narrowed((256, 256), 23, 0.25) == (138, 138)
    assert narrowed((256, 128), 365, 0.25) == (215, 107)


@pytest.mark.parametrize("widths", [(256, 256), (256, 128), (256, 128, 64)])
@pytest.mark.parametrize("sizes", [(17, 6), (3, 1), (348, 17)])
def test_small_dense_critics_have_as_many_weights_as_sparse_ones(widths, sizes):
    """Not more, and fewer only because widths are whole numbers in these proportions."""
    sparse = used(TD3RunConfig(network=TD3NetworkConfig(widths), method=MethodConfig("ne")), *sizes)
    config = TD3RunConfig(network=TD3NetworkConfig(widths), method=MethodConfig("small-dense"))
    small = network_of(config, *sizes).widths
    dense = used(config, *sizes)
    assert dense == weights(small, sum(sizes)) <= sparse
    assert sparse < weights(tuple(w * (small[0] + 1) // 256 for w in widths), sum(sizes))


def used(config: TD3RunConfig, observation: int, action: int) -> int:
    """The weights of a critic that are in use when a run begins."""
    space = gym.spaces.Box(-1.0, 1.0, (action,))
    agent = build_td3_agent(network_of(config, observation, action), observation, space, 0.1, 0)
    seen = torch.zeros(2, observation), torch.zeros(2, action)
    if config.method.kind == "ne":
        critics = [name for name in agent.backbone if name.startswith("critic")]
        morphir.transform(
            agent,
            morphir.SparsifyPass(config.method.density, at=critics),
            example_inputs={"get_values": seen},
            entry_points=("get_values",),
            inplace=True,
        )
    masks = morphir.Masks(agent.critic1).masks
    return sum(
        int(masks[f"{n}.weight"].sum()) if f"{n}.weight" in masks else layer.weight.numel()
        for n, layer in agent.critic1.named_modules()
        if isinstance(layer, nn.Linear)
    )


@pytest.mark.parametrize("kind", [*SPARSE, "small-dense"])
def test_a_sparse_method_needs_a_layer_between_hidden_ones(kind):
    message = (
        rf"network.widths is \(64,\), and --method {kind} is about the layers between two hidden "
        "ones: .* Give two widths or more, such as --network.widths 64 64."
    )
    with pytest.raises(ConfigError, match=message):
        TD3RunConfig(network=TD3NetworkConfig((64,)), method=MethodConfig(kind))


@pytest.mark.parametrize("method", [MethodConfig("redo"), MethodConfig("ne", as_released=True)])
def test_other_methods_do_with_one_hidden_layer(method, tiny_td3_config, tmp_path):
    config = tiny_td3_config("tiny/Aim-v0", total_steps=200)
    config = replace(config, network=TD3NetworkConfig((8,)), method=replace(method, every=40))
    notes = Notes()
    train(config, tmp_path, notes)
    assert {event.kind for event in notes.events} <= {"sparsify", "grow", "recycle"}
    assert bool(notes.events) or method.kind == "redo"


def test_a_layer_norm_stands_behind_each_hidden_layer(tiny_td3_config, tmp_path):
    config = replace(tiny_td3_config("tiny/Aim-v0"), method=MethodConfig("layer-norm"))
    agent = TD3Trainer.start(config, tmp_path).agent
    kinds = [type(layer) for layer in agent.critic1]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear]


def test_other_methods_begin_with_what_was_asked_for():
    config = RECIPES["td3-halfcheetah"].config
    assert network_of(config, 17, 6) == TD3NetworkConfig((256, 256))
