"""Recordings of one forward, and the shortest way to their nodes."""

from collections.abc import Callable
from typing import Any

import torch

from morphir.frontend import record
from morphir.ir import Graph, Program, number_values, print_node
from tests.frontend.models import One, X


def traced(forward: Callable[[One, Any], Any], **how: Any) -> Program:
    return record(One(forward), example_inputs=(X,), **how).program


def graph_of(forward: Callable[[One, Any], Any]) -> Graph:
    return traced(forward).graphs["forward"]


def lines(forward: Callable[[One, Any], Any]) -> list[str]:
    """The nodes after the linear layer, without types and sources."""
    graph = graph_of(forward)
    names = number_values(graph)
    texts = (print_node(node, names, sources=False, types=False) for node in graph.nodes)
    found = [*texts, *(f"output {path!r} = {names[v]}" for path, v in graph.outputs)]
    found += [f"update {name} = {names[value]}" for name, value in graph.updates]
    return [text for text in found if not text.startswith("%0 = linear")]


def run(*statements: Callable[[One, Any], Any]) -> Callable[[One, Any], Any]:
    """A forward: `h = fc(x)`, then each statement gets h and gives the next h unless it is None."""

    def forward(self: One, x: torch.Tensor) -> torch.Tensor:
        h = self.fc(x)
        for statement in statements:
            result = statement(self, h)
            h = h if result is None else result
        return h

    return forward
