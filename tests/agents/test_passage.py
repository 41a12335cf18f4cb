import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import morphir
from morphir_agents.heads import HeadLayer
from morphir_agents.passage import _Plain, passage_of

BATCH = 7

ACTIVATIONS = {"none": [], "relu": [nn.ReLU], "tanh": [nn.Tanh]}
plain = st.lists(
    st.tuples(st.integers(1, 9), st.sampled_from(sorted(ACTIVATIONS))), min_size=1, max_size=4
)


def build(inputs, layers, seed):
    torch.manual_seed(seed)
    modules = []
    for width, activation in layers:
        modules += [nn.Linear(inputs, width), *(each() for each in ACTIVATIONS[activation])]
        inputs = width
    return nn.Sequential(*modules)


def by_autograd(network, inputs, gradient):
    """Outputs, gradient of the inputs, gradients of the parameters, by way of a plain backward."""
    network, inputs = copy.deepcopy(network), inputs.clone().requires_grad_()
    network.zero_grad()
    outputs = network(inputs)
    (outputs * gradient).sum().backward()
    return outputs.detach(), inputs.grad, [p.grad for p in network.parameters()]


def check(network, inputs, gradient):
    """PASSAGE-1 and PASSAGE-2: in float64 to rounding, relative to the largest number."""
    expected, input_gradient, gradients = by_autograd(network, inputs, gradient)

    def same(found, wanted):
        scale = max(1.0, float(wanted.abs().max()))
        assert float((found - wanted).abs().max()) <= 1e-12 * scale

    passage = passage_of(network, len(inputs))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.grad = None
        same(passage.forward(inputs), expected)
        same(passage.input_gradient(gradient), input_gradient)
        assert all(parameter.grad is None for parameter in network.parameters())
        passage.forward(inputs)
        passage.backward(gradient)
    for parameter, wanted in zip(network.parameters(), gradients, strict=True):
        same(parameter.grad, wanted)
    return passage


def numbers(network, outputs, inputs, seed=1):
    generator = torch.Generator().manual_seed(seed)
    kind = {"generator": generator, "dtype": torch.float64}
    return torch.randn(BATCH, inputs, **kind), torch.randn(BATCH, outputs, **kind)


@settings(deadline=None)
@given(st.integers(1, 6), plain, st.integers(0, 1000))
def test_passage_1_and_2_a_written_pass_is_autograd_s(inputs, layers, seed):
    network = build(inputs, layers, seed).double()
    passage = check(network, *numbers(network, layers[-1][0], inputs, seed))
    assert isinstance(passage, _Plain)


@pytest.mark.parametrize(
    "change",
    [
        morphir.WiderPass(at="0", width=12),
        morphir.WiderPass(at="2", width=20, init="fresh"),
        morphir.DeeperPass(at="1"),
        [morphir.WiderPass(at=["0", "2"], width=12), morphir.DeeperPass(at="3")],
    ],
    ids=["wider", "fresh", "deeper", "both"],
)
def test_passage_2_holds_after_the_network_grew_and_it_stays_plain(change):
    network = build(5, [(8, "relu"), (8, "relu"), (3, "tanh")], 0)
    optimizer = torch.optim.Adam(network.parameters())
    example = (torch.randn(4, 5),)
    result = morphir.transform(
        network, change, optimizer=optimizer, example_inputs=example, inplace=True
    )
    grown = result.module.double()
    assert sum(p.numel() for p in grown.parameters()) > 147
    assert isinstance(check(grown, *numbers(grown, 3, 5)), _Plain)


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)),
        nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3)),
        nn.Sequential(nn.ReLU(), nn.Linear(5, 3)),
        nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.ReLU()),
        nn.Sequential(nn.Linear(5, 5), nn.ReLU(), *([nn.Linear(5, 5), nn.ReLU()] * 2)),
    ],
    ids=["norm", "no bias", "activation first", "two activations", "shared layer"],
)
def test_passage_2_holds_for_other_networks_which_autograd_takes_through(network):
    outputs = network(torch.zeros(1, 5)).shape[1]
    assert not isinstance(check(network.double(), *numbers(network, outputs, 5)), _Plain)


def test_passage_2_holds_with_a_residual_block_that_was_inserted():
    network = build(5, [(8, "tanh"), (3, "none")], 0)
    change = morphir.DeeperPass(at="1", block="residual")
    grown = morphir.apply(network, change, example_inputs=(torch.randn(4, 5),)).double()
    assert not isinstance(check(grown, *numbers(grown, 3, 5)), _Plain)


def test_inputs_may_be_written_over_before_the_way_back_of_another_network():
    network = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
    inputs, gradient = torch.randn(BATCH, 2), torch.randn(BATCH, 3)
    _, _, expected = by_autograd(network, inputs, gradient)
    passage = passage_of(network, BATCH)
    with torch.no_grad():
        passage.forward(inputs)
        inputs.zero_()
        passage.backward(gradient)
    for parameter, wanted in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-5, atol=1e-6)


def test_gradients_that_an_optimizer_cleared_come_back():
    network = build(4, [(5, "relu"), (2, "none")], 0)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    passage = passage_of(network, BATCH)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        with torch.no_grad():
            passage.forward(torch.ones(BATCH, 4))
            passage.backward(torch.ones(BATCH, 2))
        assert all(p.grad is not None for p in network.parameters())
        optimizer.step()


def test_cycle_2_a_passage_touches_the_part_of_one_task_and_the_rest_of_the_gradients_is_zero():
    """CYCLE-2"""
    torch.manual_seed(0)
    layers = (HeadLayer(9, 6, axis=1), nn.ReLU(), HeadLayer(6, 5, axis=0), nn.Tanh())
    network = nn.Sequential(*layers).double()
    for inputs, outputs in ((slice(0, 4), slice(0, 2)), (slice(4, 9), slice(2, 5))):
        network[0].part, network[2].part = inputs, outputs
        x = torch.randn(BATCH, inputs.stop - inputs.start, dtype=torch.float64)
        gradient = torch.randn(BATCH, outputs.stop - outputs.start, dtype=torch.float64)
        assert isinstance(check(network, x, gradient), _Plain)
        others = torch.ones(9, dtype=torch.bool)
        others[inputs] = False
        assert not network[0].weight.grad[:, others].any()
        assert network[0].weight.grad[:, inputs].any()
