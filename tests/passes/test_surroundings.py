"""What is around a value: activations, bounds, consumers."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from morphir.blocks import activation_module
from morphir.frontend import record
from morphir.ir import Graph, Node, Value
from morphir.ops import ANYTHING, DEFAULT_TABLE, Interval
from morphir.passes import Refusal
from morphir.passes.sites import calls_at
from morphir.passes.surroundings import (
    Activation,
    Following,
    Surroundings,
    choose_activation,
    downstream,
    is_activation,
    sole_consumer,
    upstream,
)
from tests.passes.nets import Branches

X = torch.randn(3, 8)
ACTIVATIONS = [op for op in DEFAULT_TABLE.ops if activation_module(op) is not None]


def program_of(*layers: nn.Module, x: torch.Tensor = X) -> Surroundings:
    return Surroundings(record(nn.Sequential(*layers), example_inputs=(x,)).program)


def last(around: Surroundings) -> tuple[Graph, Value]:
    graph = around.program.graphs["forward"]
    return graph, graph.outputs[0][1]


@pytest.mark.parametrize("op", ACTIVATIONS, ids=lambda op: op.name)
def test_a_block_computes_the_activation_that_it_was_given(op: Any):
    """The module made from an activation's settings is the same op with the same arguments."""
    kind = activation_module(op)
    settings: list[dict[str, Any]] = [{}]
    if op.name == "threshold":
        settings = [{"threshold": 0.5, "value": 0.25}]
    settings += {
        "leaky_relu": [{"negative_slope": 0.2}],
        "hardtanh": [{"min_val": -2, "max_val": 3.0}, {"min_val": 0.0, "max_val": 6.0}],
        "gelu": [{"approximate": "tanh"}],
        "elu": [{"alpha": 0.5}],
        "softplus": [{"beta": 2.0}],
    }.get(op.name, [])
    for each in settings:
        (node,) = (
            record(nn.Sequential(kind(**each)), example_inputs=(X,)).program.graphs["forward"].nodes
        )
        assert node.op == op.name
        again = kind(**Activation.of(node).settings)
        (twin,) = record(nn.Sequential(again), example_inputs=(X,)).program.graphs["forward"].nodes
        assert (twin.op, Activation.of(twin).settings) == (node.op, Activation.of(node).settings)
        assert is_activation(node)


@pytest.mark.parametrize(
    "function", [F.relu, F.relu6, F.elu, F.gelu, F.silu, F.hardtanh, torch.tanh]
)
def test_a_module_is_the_same_op_as_the_function(function: Any):
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x)

    (node,) = record(Net(), example_inputs=(X,)).program.graphs["forward"].nodes
    made = activation_module(DEFAULT_TABLE.get(node.op))(**Activation.of(node).settings)
    (twin,) = record(nn.Sequential(made), example_inputs=(X,)).program.graphs["forward"].nodes
    assert (twin.op, Activation.of(twin).settings) == (node.op, Activation.of(node).settings)


def test_softmax_and_glu_are_no_activations_for_a_block():
    for name in ("softmax", "log_softmax", "glu", "linear", "add"):
        assert not is_activation(Node(name, {}, ()))
    assert not is_activation(None)
    assert is_activation(Node("prelu", {}, ()))


@pytest.mark.parametrize(
    ("layers", "op"),
    [
        ([nn.Linear(8, 8), nn.ReLU()], "relu"),
        ([nn.Linear(8, 8), nn.Tanh()], "tanh"),
        ([nn.Linear(8, 8), nn.ReLU(), nn.Flatten(), nn.Unflatten(1, (2, 4))], "relu"),
        ([nn.Linear(8, 8), nn.Sigmoid(), nn.Unflatten(1, (2, 4)), nn.MaxPool1d(2)], "sigmoid"),
        ([nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)], None),
        ([nn.Linear(8, 8), nn.ReLU(), nn.LayerNorm(8)], None),
        ([nn.Linear(8, 8), nn.PReLU()], "prelu"),
    ],
    ids=str,
)
def test_the_activation_before_a_value(layers: list[nn.Module], op: str | None):
    around = program_of(*layers)
    found = around.activation_before(*last(around))
    assert (found and found.op) == op


def test_the_nearest_activation_is_found_through_anything():
    around = program_of(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.LayerNorm(8))
    assert around.nearest_activation(*last(around)).op == "tanh"
    around = program_of(nn.Linear(8, 8))
    assert around.nearest_activation(*last(around)) is None


def test_bounds_and_identity_ranges():
    around = program_of(nn.Linear(8, 8), nn.ReLU6())
    assert around.interval(*last(around)) == Interval(0.0, 6.0)
    around = program_of(nn.Linear(8, 8))
    assert around.interval(*last(around)) == ANYTHING
    assert Activation("relu").identity_range == Interval(0.0)
    assert Activation("tanh").identity_range is None


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("relu", {}, True),
        ("relu6", {}, True),
        ("hardtanh", {"min_val": -3.0, "max_val": -1.0}, True),
        ("leaky_relu", {}, False),
        ("elu", {}, False),
        ("tanh", {}, False),
        ("gelu", {}, False),
        ("linear", {}, False),
        ("nothing", {}, False),
    ],
)
def test_which_activations_are_idempotent(name: str, settings: dict[str, float], expected: bool):
    assert Activation(name, settings).is_idempotent == expected


@pytest.mark.parametrize(
    ("later", "earlier", "expected"),
    [
        ("relu", "relu", True),
        ("relu", "leaky_relu", True),
        ("relu6", "relu", True),
        ("clamp", "relu", True),
        ("relu", "relu6", False),
        ("relu", "tanh", False),
        ("leaky_relu", "relu", False),
        ("abs", "relu", False),
    ],
)
def test_what_an_activation_hides_of_an_earlier_one(later: str, earlier: str, expected: bool):
    """abs is the identity where relu is and idempotent, but not flat elsewhere."""
    settings = {"clamp": {"min": 0.0}, "leaky_relu": {"negative_slope": 0.1}}
    one, other = (Activation(name, settings.get(name, {})) for name in (later, earlier))
    assert one.hides(other) == expected


def test_an_activation_fits_only_where_it_does_at_every_call():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(8, 8), nn.Identity()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.act(self.fc(x).relu()) + self.act(self.fc(x))

    around = Surroundings(record(Net(), example_inputs=(X,)).program)
    calls = calls_at(around.program, "act")
    assert not around.is_identity_at(calls, Activation("relu"))
    assert around.is_identity_at(calls[:1], Activation("relu"))


def following(*layers: nn.Module) -> Following | str:
    around = program_of(*layers)
    return around.following(calls_at(around.program, "0"))


def test_the_activation_that_follows():
    found = following(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    assert isinstance(found, Following)
    assert (found.activation.op, found.module, found.before) == ("relu", "1", "0")
    found = following(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))
    assert isinstance(found, Following)
    assert (found.activation.op, found.module, found.before) == ("relu", "2", "1")


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ([nn.Linear(8, 8)], "its output leaves the model"),
        ([nn.Linear(8, 8), nn.Linear(8, 8)], "goes into 'linear', which is no activation"),
        ([nn.Linear(8, 8), nn.Softmax(1)], "goes into 'softmax', which is no activation"),
        ([nn.Linear(8, 8), nn.LayerNorm(8)], "its output leaves the model"),
    ],
    ids=str,
)
def test_why_no_activation_follows(layers: list[nn.Module], reason: str):
    found = following(*layers)
    assert isinstance(found, str)
    assert reason in found


def test_a_value_that_is_also_kept_has_no_sole_consumer():
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            h = self.fc(x)
            return h.relu(), h

    graph = record(Net(), example_inputs=(X,)).program.graphs["forward"]
    assert sole_consumer(graph, graph.nodes[0].outputs[0]) is None
    assert sole_consumer(graph, graph.inputs[0]) is graph.nodes[0]


def test_before_the_first_activation_the_next_one_is_the_nearest():
    """An embedding or a stem is surrounded by what follows it."""
    layers = [nn.Linear(8, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 8), nn.Tanh()]
    around = program_of(*layers)
    graph = around.program.graphs["forward"]
    value = graph.nodes[0].results[0]
    assert [node.op for node in downstream(graph, value)] == [n.op for n in graph.nodes[1:]]
    assert around.nearest_activation(graph, value).op == "gelu"


def test_upstream_is_nearest_first():
    graph = last(program_of(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8)))
    assert [node.op for node in upstream(*graph)] == ["linear", "relu", "linear"]


def test_upstream_are_the_nodes_that_feed_a_value_and_no_others():
    graph = record(Branches(nn.ReLU(), nn.Tanh()), example_inputs=(X,)).program.graphs["forward"]
    (relu,) = (node for node in graph.nodes if node.op == "relu")
    assert [node.op for node in upstream(graph, relu.results[0])] == ["relu", "linear", "linear"]


@pytest.mark.parametrize(
    ("activations", "expected"),
    [([nn.ReLU(), nn.ReLU()], "relu"), ([nn.ReLU(), nn.ReLU6()], None), ([nn.ReLU()], "relu")],
    ids=str,
)
def test_the_activation_before_a_concatenation_is_that_of_all_branches(
    activations: list[nn.Module], expected: str | None
):
    model = Branches(*activations)
    around = Surroundings(record(model, example_inputs=(X,)).program)
    ((graph, call),) = calls_at(around.program, "joined")
    found = around.activation_before(graph, call.results[0])
    assert (found and found.op) == expected


def test_a_gate_is_not_the_nearest_activation():
    """Squeeze and excitation: the sigmoid scales what SiLU made; alone it is one."""

    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = F.silu(x)
            return torch.sigmoid(x.mean(-1, keepdim=True)) * x

    around = Surroundings(record(Net(), example_inputs=(X,)).program)
    assert around.nearest_activation(*last(around)).op == "silu"
    around = program_of(nn.SiLU(), nn.Linear(8, 8), nn.Sigmoid(), nn.Linear(8, 8))
    assert around.nearest_activation(*last(around)).op == "sigmoid"


def test_a_number_made_of_its_size_is_no_consumer_of_a_value():
    class Net(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            h = x + 1
            return torch.relu(h) / float(h.shape[-1])

    graph = record(Net(), example_inputs=(X,)).program.graphs["forward"]
    assert [node.op for node in graph.nodes] == ["add", "relu", "float", "div"]
    assert sole_consumer(graph, graph.nodes[0].results[0]) is graph.nodes[1]


def test_choosing_an_activation():
    relu, tanh = Activation("relu"), Activation("tanh")
    leaky = Activation("leaky_relu", {"negative_slope": 0.3})
    assert choose_activation(None, [relu, copy.copy(relu)]) is relu
    assert choose_activation(None, [relu, tanh]) is None
    assert choose_activation(None, [relu, None]) is None
    assert choose_activation("leaky_relu", [tanh, leaky]) is leaky, "with the settings around it"
    assert choose_activation("gelu", [tanh]).op == "gelu"
    refusal = choose_activation("tan", [tanh])
    assert isinstance(refusal, Refusal)
    assert "activation='tanh'" in refusal.suggestions
