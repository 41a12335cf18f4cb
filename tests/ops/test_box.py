"""FACT-4: boxes hold every element, and are tight where a unit is dead."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.frontend import record
from morphir.ops import DEFAULT_TABLE
from morphir.ops.box import propagate_boxes
from morphir.ops.replay import replay
from tests.checks.pairs import Net

NETS = {
    "dense": (
        lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh()),
        (4,),
    ),
    "images": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU6(), nn.MaxPool2d(2),
            nn.Conv2d(8, 4, 3, groups=2), nn.LeakyReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(4, 2), nn.Softplus(),
        ),
        (3, 8, 8),
    ),
    "residual": (
        lambda: Net(
            lambda s, x: s.out(torch.cat([s.a(x).sigmoid() * s.b(x) + s.a(x), 0.5 * x - 1], -1)),
            a=nn.Linear(4, 4), b=nn.Linear(4, 4), out=nn.Linear(8, 2),
        ),
        (4,),
    ),
    "unruly": (
        lambda: Net(
            lambda s, x: s.out(s.a(x).abs().softmax(-1).cumsum(-1)),
            a=nn.Linear(4, 4), out=nn.Linear(4, 2),
        ),
        (4,),
    ),
}  # fmt: skip


def program_of(net: nn.Module, shape: tuple[int, ...], mode="eval"):
    x = torch.randn(3, *shape, dtype=next(net.parameters()).dtype)
    program = record(net, example_inputs=(x,), mode=mode).program
    return program.graphs["forward"], {n: e.tensor for n, e in program.state.items()}


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("bound", [0.1, 3.0, math.inf])
def test_fact_4_every_element_lies_in_its_box(name: str, bound: float):
    torch.manual_seed(0)
    make, shape = NETS[name]
    net = make().double()
    graph, state = program_of(net, shape)
    boxes = propagate_boxes(
        graph, state, DEFAULT_TABLE, {v.name: (-bound, bound) for v in graph.inputs}
    )
    assert {*boxes} == {*graph.inputs, *(v for n in graph.nodes for v in n.outputs)}
    reach = 100.0 if math.isinf(bound) else bound
    for scale in (1.0, 0.5, 1e-3):
        x = (2 * torch.rand(1, *shape, dtype=torch.float64) - 1) * reach * scale
        values = replay(graph, state, [x], DEFAULT_TABLE).values
        for value, box in boxes.items():
            assert (box.low <= values[value]).all(), value
            assert (values[value] <= box.high).all(), value


def test_fact_4_a_small_box_is_a_tight_one():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).double()
    graph, state = program_of(net, (4,))
    boxes = propagate_boxes(graph, state, DEFAULT_TABLE, {"input": (0.5, 0.5)})
    box = boxes[graph.outputs[0][1]]
    assert (box.high - box.low).max() < 1e-12
    expected = net(torch.full((1, 4), 0.5, dtype=torch.float64))
    assert torch.allclose(box.low, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_fact_4_a_unit_that_nothing_reaches_is_known_to_be_zero(mode):
    """Zero incoming weights and a bias that the activation cuts off; through BatchNorm too."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 2)
    )
    with torch.no_grad():
        net[0].weight[1] = 0
        net[1].bias[1] = -9.0
    graph, state = program_of(net, (3, 6, 6), mode)
    boxes = propagate_boxes(graph, state, DEFAULT_TABLE)
    (relu,) = (node for node in graph.nodes if node.op == "relu")
    assert [*boxes[relu.outputs[0]].is_zero.flatten(2).all(-1)[0]] == [False, True, False, False]


def test_fact_4_no_input_of_a_box_wakes_a_unit():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0, 1.0], [0.5, 0.0], [0.0, 0.0]]))
        net[0].bias.copy_(torch.tensor([0.0, -2.0, 0.0]))
    graph, state = program_of(net, (2,))
    hidden = graph.nodes[1].outputs[0]
    anywhere = propagate_boxes(graph, state, DEFAULT_TABLE)[hidden]
    inside = propagate_boxes(graph, state, DEFAULT_TABLE, {"input": (-3.0, 3.0)})[hidden]
    assert anywhere.is_zero.tolist() == [[False, False, True]]
    assert inside.is_zero.tolist() == [[False, True, True]]


def test_fact_4_what_left_torch_makes_later_values_anything():
    net = Net(lambda s, x: s.fc(x).relu() * float(x.sum()), fc=nn.Linear(2, 2))
    graph, state = program_of(net, (2,))
    box = propagate_boxes(graph, state, DEFAULT_TABLE)[graph.outputs[0][1]]
    assert torch.isinf(box.low).all()


def test_fact_4_where_the_index_is_computed_an_element_may_be_anything():
    net = Net(
        lambda s, x: s.out(s.a(x)[:, (x[0] > 0).long()]), a=nn.Linear(4, 4), out=nn.Linear(4, 2)
    )
    graph, state = program_of(net, (4,))
    (node,) = (node for node in graph.nodes if node.op == "getitem" and len(node.operands) > 1)
    assert torch.isinf(propagate_boxes(graph, state, DEFAULT_TABLE)[node.outputs[0]].low).all()


@pytest.mark.parametrize(
    "code",
    [
        lambda s, x: s.fc(x) + (x.shape[0] - 2),
        lambda s, x: s.fc(x) * x.shape[0],
        lambda s, x: F.pad(s.fc(x), (0, x.shape[0] - 1))[:, :3],
        lambda s, x: s.fc(x).roll(x.shape[0], -1),
        lambda s, x: s.fc(x)[:, x.shape[0] % 3],
    ],
)
def test_fact_4_a_number_that_follows_the_batch_makes_an_element_anything(code):
    """Boxes are computed at a batch of one, where it is another number."""
    net = Net(code, fc=nn.Linear(4, 3))
    with torch.no_grad():
        net.fc.weight.zero_()
    graph, state = program_of(net, (4,))
    found = propagate_boxes(graph, state, DEFAULT_TABLE)[graph.outputs[0][1]]
    x = torch.randn(3, 4)
    assert ((found.low <= net(x)) & (net(x) <= found.high)).all()


def test_fact_4_a_shape_may_follow_the_batch():
    net = Net(lambda s, x: s.fc(x).reshape(x.shape[0], 1, 3), fc=nn.Linear(4, 3))
    with torch.no_grad():
        net.fc.weight.zero_()
    graph, state = program_of(net, (4,))
    found = propagate_boxes(graph, state, DEFAULT_TABLE)[graph.outputs[0][1]]
    assert torch.equal(found.low, found.high)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4)])
def test_fact_4_an_image_may_stand_alone(shape: tuple[int, ...]):
    """A convolution takes one without a batch."""
    net = Net(lambda s, x: s.conv(x.sum(0)), conv=nn.Conv1d(shape[-2], 2, 2))
    with torch.no_grad():
        net.conv.weight.zero_()
    graph, state = program_of(net, shape)
    found = propagate_boxes(graph, state, DEFAULT_TABLE)[graph.outputs[0][1]]
    rows = net.conv.bias.detach().double()[:, None].expand(found.low.shape)
    assert torch.equal(found.low, rows)
    assert torch.equal(found.high, rows)
