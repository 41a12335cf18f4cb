"""A networkx view of a program, for analysis and drawing.

IR-11  one vertex is reachable from another in the view exactly if the second's value depends on
       the first's: through operands, through what a node writes, or through the state that an
       earlier call left
"""

from __future__ import annotations

from collections.abc import Iterator

import networkx as nx

from morphir.ir.graph import Graph, Value
from morphir.ir.printer import number_values, print_node
from morphir.ir.program import Program


def to_networkx(program: Program) -> nx.MultiDiGraph[str]:
    """Builds a directed multigraph of inputs, state, nodes and outputs.

    Vertices are strings (`get_value/%obs`, `@trunk.0.weight`, `get_value/#3`, `get_value/output 0`)
    with the attributes `kind` (`input`, `state`, `node`, `output`), `label`, and for nodes `op` and
    `module`. State is shared between entry points, so two graphs that read the same parameter are
    connected through it; an update is an edge into the state. An edge carries the `type` of the
    value that flows along it.
    """
    view: nx.MultiDiGraph[str] = nx.MultiDiGraph(model=program.model, mode=program.mode)
    for entry in program.state.values():
        view.add_node(f"@{entry.name}", kind="state", label=f"{entry.name}: {entry.type}")
    for graph in program.graphs.values():
        vertices = dict(_vertices(graph))
        view.add_nodes_from(vertices.items())
        view.add_edges_from(_edges(graph))
    return view


def _vertices(graph: Graph) -> Iterator[tuple[str, dict[str, str]]]:
    names = number_values(graph)
    for value in graph.inputs:
        label = value.name if value.type is None else f"{value.name}: {value.type}"
        yield f"{graph.name}/{names[value]}", {"kind": "input", "label": label}
    for index, node in enumerate(graph.nodes):
        label = print_node(node, names, sources=False)
        yield (
            f"{graph.name}/#{index}",
            {"kind": "node", "label": label, "op": node.op, "module": graph.modules[node]},
        )
    for index, (path, _) in enumerate(graph.outputs):
        yield f"{graph.name}/output {index}", {"kind": "output", "label": path}


def _edges(graph: Graph) -> Iterator[tuple[str, str, dict[str, str]]]:
    names = number_values(graph)
    origin = {value: f"{graph.name}/{names[value]}" for value in graph.inputs}

    def edge(value: Value, vertex: str) -> tuple[str, str, dict[str, str]]:
        return origin.get(value, f"@{value.name}"), vertex, {"type": str(value.type)}

    for index, node in enumerate(graph.nodes):
        vertex = f"{graph.name}/#{index}"
        yield from (edge(value, vertex) for value in node.operands)
        origin |= dict.fromkeys(node.outputs, vertex)
    for index, (_, value) in enumerate(graph.outputs):
        yield edge(value, f"{graph.name}/output {index}")
    yield from (edge(value, f"@{name}") for name, value in graph.updates)
