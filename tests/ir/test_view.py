"""IR-11: the networkx view tells who depends on whom."""

import networkx as nx
from hypothesis import given

from morphir.ir import Program, Value, number_values, to_networkx
from tests.ir.programs import programs, small

# Vertices of state start with "@"; no method is called so.
of_methods = programs().filter(lambda program: not any(g.startswith("@") for g in program.graphs))


def test_the_small_program_as_a_graph():
    view = small().to_networkx()
    assert view.graph == {"model": "Net", "mode": "eval"}
    assert view.nodes["forward/#0"] == {
        "kind": "node",
        "label": "%0: f32[B, 4] = linear(input=%x, weight=@net.weight)",
        "op": "linear",
        "module": "net",
    }
    assert {kind for _, kind in view.nodes(data="kind")} == {"input", "state", "node", "output"}
    assert sorted(view.edges(data="type")) == [
        ("@net.weight", "forward/#0", "f32[4, 4]"),
        ("forward/#0", "@seen", "f32[B, 4]"),
        ("forward/#0", "forward/#1", "f32[B, 4]"),
        ("forward/#1", "forward/output 0", "f32[B, 4]"),
        ("forward/%x", "forward/#0", "f32[B, 4]"),
    ]


def test_entry_points_meet_in_the_state_they_share():
    from dataclasses import replace

    graph = small().graphs["forward"]
    both = replace(small(), graphs={"forward": graph, "act": replace(graph, name="act")})
    view = to_networkx(both)
    assert {*view.successors("@net.weight")} == {"forward/#0", "act/#0"}


@given(of_methods)
def test_reachable_means_that_the_value_depends(program: Program):
    """IR-11 against a plain recursion over operands, without the edges into state."""
    view = to_networkx(program)
    flow = nx.DiGraph(view)
    flow.remove_edges_from([(a, b) for a, b in flow.edges if b.startswith("@")])
    for graph in program.graphs.values():
        names = number_values(graph)
        vertex = {value: f"{graph.name}/{names[value]}" for value in graph.inputs}
        needs: dict[Value, set[str]] = {value: {vertex[value]} for value in graph.inputs}
        for index, node in enumerate(graph.nodes):
            found = {f"{graph.name}/#{index}"}
            for value in node.operands:
                found |= needs.get(value, {f"@{value.name}"})
            needs |= dict.fromkeys(node.outputs, found)
            assert (
                nx.ancestors(flow, f"{graph.name}/#{index}") | {f"{graph.name}/#{index}"} == found
            )
        for index, (_, value) in enumerate(graph.outputs):
            expected = needs.get(value, {f"@{value.name}"})
            assert nx.ancestors(flow, f"{graph.name}/output {index}") == expected


@given(of_methods)
def test_every_update_is_an_edge_into_the_state(program: Program):
    """IR-11"""
    view = to_networkx(program)
    updates = sum(len(graph.updates) for graph in program.graphs.values())
    assert sum(b.startswith("@") for _, b in view.edges()) == updates
