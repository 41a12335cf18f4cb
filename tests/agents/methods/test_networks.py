"""The networks that methods begin with."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from morphir_agents.methods import MethodConfig
from morphir_agents.methods.networks import narrowed, network_of
from morphir_agents.recipes import RECIPES
from morphir_agents.td3_networks import TD3NetworkConfig
from morphir_agents.td3_trainer import TD3Trainer


def weights(widths: tuple[int, ...], inputs: int) -> int:
    layers = [nn.Linear(a, b) for a, b in zip((inputs, *widths), (*widths, 1), strict=True)]
    return sum(layer.weight.numel() for layer in layers)


@given(st.lists(st.integers(4, 60), min_size=1, max_size=3), st.integers(1, 40), st.floats(0.2, 1))
def test_small_dense_networks_are_the_widest_that_are_small_enough(widths, inputs, density):
    limit = density * weights(tuple(widths), inputs)
    found = narrowed(tuple(widths), inputs, density)
    assert max(found) == 1 or weights(found, inputs) <= limit
    largest = max(widths)
    if max(found) < largest:
        wider = tuple(max(1, w * (max(found) + 1) // largest) for w in widths)
        assert weights(wider, inputs) > limit


def test_of_the_paper_s_networks():
    assert narrowed((256, 256), 23, 1.0) == (256, 256)
    assert narrowed((256, 256), 23, 0.25) == (122, 122)


def test_a_layer_norm_stands_behind_each_hidden_layer(tiny_td3_config, tmp_path):
    config = replace(tiny_td3_config("tiny/Aim-v0"), method=MethodConfig("layer-norm"))
    agent = TD3Trainer.start(config, tmp_path).agent
    kinds = [type(layer) for layer in agent.critic1]
    assert kinds == [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear]


def test_other_methods_begin_with_what_was_asked_for():
    config = RECIPES["td3-halfcheetah"].config
    assert network_of(config, 17, 6) == TD3NetworkConfig((256, 256))
