"""From torch.fx nodes to IR nodes."""

from typing import Any

import pytest
import torch
from torch import fx
from torch.nn import functional as F

from morphir.frontend.importer import Importer, retype
from morphir.frontend.recording import Event, Recording, Unprintable
from morphir.frontend.sizes import Computed, ReadAttribute, ReadSize, TaggedInt
from morphir.ir import Batch, Graph, Node, TensorType, print_graph
from morphir.ops import DEFAULT_TABLE, OpTable

KIND = TensorType(torch.float32, (2, 4))
T = torch.Tensor


class Builder:
    """Builds a recording by hand."""

    def __init__(self) -> None:
        self.graph = fx.Graph()
        self.events: list[Event] = []
        self.x = self.graph.placeholder("x")
        self.x.meta["type"] = KIND

    def state(self, name: str) -> fx.Node:
        node = self.graph.create_node("get_attr", name)
        node.meta["type"] = KIND
        return node

    def call(self, function: Any, *args: Any, **meta: Any) -> fx.Node:
        node = self.graph.call_function(function, args, meta.pop("kwargs", {}))
        node.meta.update(
            {"writes": (), "in_place": False, "random": False, "source": "", "context": "", **meta}
        )
        node.meta.setdefault("outputs", (node,))
        for each in node.meta["outputs"]:
            each.meta["type"] = KIND
        self.events.append(Event("node", node=node))
        return node

    def run(
        self, *outputs: fx.Node, updates: Any = (), table: OpTable = DEFAULT_TABLE
    ) -> tuple[Graph, Importer]:
        importer = Importer(table)
        returned = tuple((str(i), node, torch.zeros(1)) for i, node in enumerate(outputs))
        recording = Recording(
            self.graph, tuple(self.events), (("x", self.x),), returned, {}, updates=updates
        )
        return importer.run(recording, "f"), importer


def only(builder: Builder, *outputs: fx.Node, table: OpTable = DEFAULT_TABLE) -> Node:
    (node,) = builder.run(*outputs, table=table)[0].nodes
    return node


@pytest.mark.parametrize(
    ("function", "args", "in_place", "op", "arguments"),
    [
        (F.relu, (), False, "relu", {}),
        (T.relu_, (), True, "relu", {}),
        (T.add_, (1,), True, "add", {"other": 1}),
        (T.__iadd__, (1,), True, "add", {"other": 1}),
    ],
)
def test_a_declared_op_has_its_name_and_its_arguments(
    function: Any, args: Any, in_place: bool, op: str, arguments: Any
):
    builder = Builder()
    node = only(builder, builder.call(function, builder.x, *args, in_place=in_place))
    assert node.op == op
    assert {k: v for k, v in node.arguments.items() if k != "input"} == arguments


@pytest.mark.parametrize(
    ("function", "in_place", "op"),
    [
        (torch.ops.aten.relu.default, False, "torch.ops.aten.relu.default"),
        (torch.linalg.svdvals, False, "torch.linalg.svdvals"),
        (F.relu, False, "torch.nn.functional.relu"),
        (T.add_, True, "torch.Tensor.add"),
        (T.zero_, True, "torch.Tensor.zero_"),
    ],
)
def test_an_undeclared_call_has_the_name_of_its_function(function: Any, in_place: bool, op: str):
    builder = Builder()
    call = builder.call(function, builder.x, in_place=in_place)
    node = only(builder, call, table=OpTable(()))
    assert node.op == op
    assert [*node.arguments] == ["args"]


def test_under_autocast_no_declaration_applies():
    builder = Builder()
    node = only(builder, builder.call(F.relu, builder.x, context="autocast"))
    assert node.op == "autocast.torch.nn.functional.relu"


def test_an_argument_out_is_left_out_of_a_call_that_writes_there():
    builder = Builder()
    call = builder.call(torch.add, builder.x, 1, in_place=True, kwargs={"out": builder.x})
    assert [*only(builder, call).arguments] == ["input", "other"]


def test_sizes_attributes_and_arithmetic_keep_where_they_come_from():
    builder = Builder()
    size = TaggedInt(2, ReadSize(builder.x, 0))
    heads = TaggedInt(4, ReadAttribute("h.0", "n_head", 4))
    half = TaggedInt(1, Computed("//", ReadSize(builder.x, 0), 2))
    call = builder.call(T.view, builder.x, size, heads, half)
    text = print_graph(builder.run(call)[0])
    assert "(size(%x, 0), attribute('h.0', 'n_head', 4), (size(%x, 0) // 2))" in text


def test_written_arguments_are_named_and_an_op_that_drops_one_is_opaque():
    builder = Builder()
    mean, var = builder.state("mean"), builder.state("var")
    call = builder.graph.call_function(F.batch_norm, (builder.x, mean, var, None, None, True))
    parts = tuple(builder.graph.call_function(lambda: None, ()) for _ in range(3))
    call.meta.update(
        writes=(mean, var), in_place=False, random=False, source="", context="", outputs=parts
    )
    for part in parts:
        part.meta["type"] = KIND
    builder.events.append(Event("node", node=call))
    node = only(builder, parts[0])
    assert node.op == "batch_norm"
    assert node.writes == ("running_mean", "running_var")
    assert len(node.outputs) == 3


def test_module_calls_become_a_tree():
    builder = Builder()
    builder.events.append(Event("enter", "net"))
    builder.events.append(Event("enter", "net.0"))
    inner = builder.call(F.relu, builder.x)
    builder.events.append(Event("exit", "net.0", results=(inner,)))
    builder.events.append(Event("exit", "net", results=(inner,)))
    graph, _ = builder.run(inner)
    assert [call.module for call in graph.calls] == ["net", "net.0"]
    assert graph.calls[0].body == (graph.calls[1],)
    assert graph.calls[1].results == graph.nodes[0].outputs


def test_what_no_graph_can_hold_is_named_and_what_was_given_is_kept():
    builder = Builder()
    call = builder.call(torch.rand, 4, kwargs={"generator": Unprintable("Generator")})
    call.meta["given"] = [torch.ones(1)]
    graph, importer = builder.run(call)
    assert "'<Generator>'" in print_graph(graph)
    assert [*importer.given] == [graph.nodes[0].outputs[0]]


def test_updates_and_state_are_values_by_name():
    builder = Builder()
    seen = builder.state("seen")
    call = builder.call(T.add, seen, 1)
    graph, _ = builder.run(call, updates=(("seen", call, torch.zeros(1)),))
    assert graph.updates == (("seen", graph.nodes[0].outputs[0]),)
    assert [(v.origin, v.name) for v in graph.nodes[0].operands] == [("state", "seen")]


def test_retyping_changes_types_and_nothing_else():
    builder = Builder()
    first = builder.call(F.relu, builder.x)
    builder.events.insert(0, Event("enter", "act"))
    builder.events.append(Event("exit", "act", results=(first,)))
    graph, _ = builder.run(builder.call(F.tanh, first))
    symbolic = TensorType(torch.float32, (Batch(), 4))
    values = [*graph.inputs, *(value for node in graph.nodes for value in node.outputs)]
    changed = retype(graph, dict.fromkeys(values, symbolic))
    assert print_graph(changed) == print_graph(graph).replace("f32[2, 4]", "f32[B, 4]")
    assert retype(graph, {}).inputs == graph.inputs
