import torch
from hypothesis import given

from morphir.ir import (
    Arithmetic,
    Call,
    Graph,
    Node,
    Program,
    SizeOf,
    TensorType,
    Value,
    substitute,
    values_in,
)
from tests.ir.programs import programs, small

KIND = TensorType(torch.float32, (2,))


def test_a_graph_knows_who_makes_and_who_reads_a_value():
    graph = small().graphs["forward"]
    linear, relu = graph.nodes
    (x,) = graph.inputs
    (h,), (y,) = linear.outputs, relu.outputs
    assert graph.producers == {h: linear, y: relu}
    assert graph.users[x] == (linear,)
    assert graph.users[h] == (relu,)
    assert y not in graph.users
    assert [value.name for value in graph.state] == ["net.weight"]
    assert graph.modules == {linear: "net", relu: "net"}
    (call,) = graph.calls
    assert graph.calls_of("net") == (call,)
    assert graph.calls_of("other") == ()


def test_a_walk_tells_the_calls_around_each_item():
    a, b = Node("a", {}, ()), Node("b", {}, ())
    inner = Call("m.0", (b,), ())
    outer = Call("m", (a, inner), ())
    graph = Graph("f", (), (outer,), ())
    assert [*graph.walk()] == [((), outer), ((outer,), a), ((outer,), inner), ((outer, inner), b)]


def test_values_are_found_and_replaced_wherever_they_stand():
    x, y, z = (Value("input", name, KIND) for name in "xyz")
    argument = (x, slice(None, SizeOf(y, 0)), ("a", Arithmetic("+", SizeOf(x, 1), 2)), 1)
    assert [*values_in(argument)] == [x, y, x]
    moved = substitute(argument, {x: z})
    assert [*values_in(moved)] == [z, y, z]
    assert moved[1:2] == argument[1:2]
    assert substitute(3, {x: z}) == 3


def test_values_are_told_apart_by_identity_and_are_frozen():
    assert Value("input", "x", KIND) != Value("input", "x", KIND)


@given(programs())
def test_every_operand_is_an_input_state_or_the_result_of_an_earlier_node(program: Program):
    """IR-1, from the graph's own indices."""
    for graph in program.graphs.values():
        order = {node: index for index, node in enumerate(graph.nodes)}
        for node in graph.nodes:
            for value in node.operands:
                if value.origin == "result":
                    assert order[graph.producers[value]] < order[node]
                    assert node in graph.users[value]
