"""A spliced call runs at the anchor's calls only, and who read the old result reads the new."""

import pytest
import torch
from torch import nn

from morphir.frontend import record
from morphir.ir import Call, Graph, Node, TensorType, Value
from morphir.ir.splicing import Splice, copied

KIND = TensorType(torch.float32, (2, 4))
NET = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
GRAPH = record(NET, example_inputs=(torch.zeros(2, 4),)).program.graphs["forward"]


def doubled(call: Call, old: Value) -> tuple[Call, Value]:
    new = Value("result", "", old.type)
    node = Node("mul", {"input": old, "other": 2.0}, (new,))
    return Call("new", (node,), (new,)), new


@pytest.mark.parametrize("inside", [False, True])
def test_readers_behind_the_anchor_read_the_new_result(inside: bool):
    graph = Splice("1", doubled, inside=inside).apply(GRAPH)
    assert [node.op for node in graph.nodes] == ["linear", "relu", "mul", "linear"]
    relu, product, last = graph.nodes[1:]
    assert product.arguments["input"] is relu.outputs[0]
    assert last.arguments["input"] is product.outputs[0]
    (anchor,) = graph.calls_of("1")
    assert any(isinstance(item, Call) for item in anchor.body) is inside


def test_the_model_itself_is_an_anchor_too():
    graph = Splice("", doubled, inside=True).apply(GRAPH)
    assert [call.module for call in graph.body] == ["0", "1", "2", "new"]
    assert graph.outputs[0][1] is graph.nodes[-1].outputs[0]
    other = Graph("value", GRAPH.inputs, GRAPH.body, GRAPH.outputs)
    assert len(Splice("", doubled, inside=True).apply(other).nodes) == len(other.nodes)


def test_it_says_what_it_takes_for_granted():
    x = Value("input", "x", KIND)
    graph = Graph("forward", (x,), (Call("same", (), (x,)),), (("", x),))
    splice = Splice("same", doubled, inside=True)
    splice.apply(graph)
    assert "returns its input" in splice.assumes


def test_a_copy_shares_no_result_with_what_it_copies():
    (body,) = (call for call in GRAPH.calls if call.module == "0")
    table = {GRAPH.inputs[0]: Value("input", "y", KIND)}
    (call,) = copied((body,), table, lambda name: f"copy.{name}")
    assert isinstance(call, Call)
    assert call.module == "copy.0"
    assert not {v for n in call.nodes for v in n.outputs} & {
        v for n in body.nodes for v in n.outputs
    }
    assert call.operands == (table[GRAPH.inputs[0]],)
