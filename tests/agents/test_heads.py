import copy
import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from morphir_agents.heads import HeadLayer, heads_of, parts_of, used

sizes = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 3)), min_size=1, max_size=4)


@given(sizes)
def test_parts_lie_side_by_side_and_have_the_sizes_of_their_tasks(tasks):
    parts = parts_of(tasks)
    for name in ("observation", "action", "inputs", "value"):
        slices = [getattr(part, name) for part in parts]
        assert slices[0].start == 0
        assert all(a.stop == b.start for a, b in itertools.pairwise(slices))
        lengths = [each.stop - each.start for each in slices]
        wanted = {
            "observation": [seen for seen, _ in tasks],
            "action": [act for _, act in tasks],
            "inputs": [seen + act for seen, act in tasks],
            "value": [1] * len(tasks),
        }
        assert lengths == wanted[name]


def network(inputs, outputs):
    layers = (HeadLayer(inputs, 6, axis=1), nn.ReLU(), HeadLayer(6, outputs, axis=0))
    return nn.Sequential(*layers).double()


def select(net, part):
    for _, layer in heads_of(net):
        layer.part = part and (part.observation if layer.axis == 1 else part.action)


@settings(deadline=None, max_examples=40)
@given(sizes, st.data())
def test_cycle_2_a_task_has_the_columns_and_rows_of_its_head_and_moves_no_others(tasks, data):
    """CYCLE-2"""
    parts = parts_of(tasks)
    part = data.draw(st.sampled_from(parts))
    net = network(parts[-1].observation.stop, parts[-1].action.stop)
    select(net, part)

    first, last = net[0], net[2]
    alone = nn.Sequential(
        nn.Linear(part.observation.stop - part.observation.start, 6),
        nn.ReLU(),
        nn.Linear(6, part.action.stop - part.action.start),
    ).double()
    with torch.no_grad():
        alone[0].weight.copy_(first.weight[:, part.observation])
        alone[0].bias.copy_(first.bias)
        alone[2].weight.copy_(last.weight[part.action])
        alone[2].bias.copy_(last.bias[part.action])
    x = torch.randn(5, alone[0].in_features, dtype=torch.float64)
    for each in (net, alone):
        each(x).square().sum().backward()
    torch.testing.assert_close(net(x), alone(x), rtol=1e-12, atol=1e-12)
    for grad, wanted, own in (
        (first.weight.grad, alone[0].weight.grad, (slice(None), part.observation)),
        (last.weight.grad, alone[2].weight.grad, (part.action,)),
        (last.bias.grad, alone[2].bias.grad, (part.action,)),
    ):
        torch.testing.assert_close(grad[own], wanted, rtol=1e-12, atol=1e-12)
        grad[own] = 0
        assert not grad.any()
    torch.testing.assert_close(first.bias.grad, alone[0].bias.grad, rtol=1e-12, atol=1e-12)


def test_without_a_task_it_is_a_linear_layer_over_all_of_them():
    net, x = network(7, 4), torch.randn(5, 7, dtype=torch.float64)
    first, last = net[0], net[2]
    hidden = nn.functional.linear(x, first.weight, first.bias).relu()
    assert torch.equal(net(x), nn.functional.linear(hidden, last.weight, last.bias))


def test_a_copy_works_on_the_same_task():
    net = network(7, 4)
    select(net, parts_of([(3, 1), (4, 3)])[1])
    assert [layer.part for _, layer in heads_of(copy.deepcopy(net))] == [slice(3, 7), slice(1, 4)]
    assert [name for name, _ in heads_of(net)] == ["0", "2"]


def test_what_is_used_are_views_and_of_other_layers_all():
    layer, plain = HeadLayer(5, 3, axis=0), nn.Linear(5, 3)
    layer.part = slice(1, 2)
    weight, bias = used(layer, layer.weight, layer.bias)
    assert weight.data_ptr() == layer.weight[1].data_ptr()
    assert (weight.shape, bias.shape) == ((1, 5), (1,))
    assert used(plain, plain.weight, plain.bias)[0] is plain.weight
    assert (layer.own, HeadLayer(5, 3, axis=1).own) == (("weight", "bias"), ("weight",))
