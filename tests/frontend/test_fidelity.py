"""FRONT-2: a graph that says something else than the module did is refused."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from morphir.errors import RefusalError
from morphir.frontend.capture import Numbering, capture
from morphir.frontend.entry import resolve_entry_points
from morphir.frontend.fidelity import _agree, check_fidelity
from morphir.frontend.importer import Importer
from morphir.ir import Graph, Item, Node
from morphir.ops import DEFAULT_TABLE
from tests.frontend.models import InPlace, Mlp, Trained, X


def check(model: nn.Module, mode: Any = "eval", mutate: Any = None) -> str:
    """Records, changes one node of the graph, and compares."""
    (entry,) = resolve_entry_points(model, ("forward",))
    recording = capture(model, entry, mode, ((X,), {}), Numbering({}, 0))
    importer = Importer(DEFAULT_TABLE)
    graph = importer.run(recording, "forward")
    if mutate is not None:
        graph = mutate(graph)
    tensors = {**recording.tensors, **dict(model.named_parameters()), **dict(model.named_buffers())}
    return check_fidelity(graph, recording, tensors, {"x": X}, importer.given, DEFAULT_TABLE)


def with_node(graph: Graph, index: int, **changes: Any) -> Graph:
    """The graph with one node changed; the calls around it are dropped."""
    items: list[Item] = [
        replace(node, **changes) if i == index else node for i, node in enumerate(graph.nodes)
    ]
    return replace(graph, body=tuple(items))


@pytest.mark.parametrize(("model", "mode"), [(Mlp(), "eval"), (Trained(), "train")])
def test_a_faithful_recording_is_believed(model: nn.Module, mode: str):
    assert check(model, mode) == ""


def another_op(graph: Graph) -> Graph:
    return with_node(graph, 1, op="sigmoid")


def without_bias(graph: Graph) -> Graph:
    arguments = {k: v for k, v in graph.nodes[0].arguments.items() if k != "bias"}
    return with_node(graph, 0, arguments=arguments)


def another_operand(graph: Graph) -> Graph:
    (h,) = graph.nodes[0].outputs
    return with_node(graph, 2, arguments={**graph.nodes[2].arguments, "input": h})


def another_output(graph: Graph) -> Graph:
    return replace(graph, outputs=(("", graph.nodes[0].outputs[0]),))


@pytest.mark.parametrize("mutate", [another_op, without_bias, another_operand, another_output])
def test_a_wrong_graph_is_refused(mutate: Any):
    """FRONT-2"""
    with pytest.raises(RefusalError, match="does not reproduce output ''"):
        check(Mlp(), mutate=mutate)


def test_a_wrong_update_is_refused():
    """FRONT-2: also what the call left in the state."""

    def mutate(graph: Graph) -> Graph:
        (mean, first), *rest = graph.updates
        other = next(v for name, v in graph.updates if name.endswith("running_var"))
        assert first is not other
        return replace(graph, updates=((mean, other), *rest))

    with pytest.raises(RefusalError, match=r"the update of 'net\.1\.running_mean'"):
        check(Trained(), "train", mutate)


def test_a_graph_that_cannot_run_is_refused():
    def shapes(graph: Graph) -> Graph:
        (x,) = graph.inputs
        return with_node(graph, 2, arguments={**graph.nodes[2].arguments, "input": x})

    with pytest.raises(RefusalError, match="'forward' cannot be run: RuntimeError"):
        check(Mlp(), mutate=shapes)


def test_around_what_cannot_be_computed_everything_else_is_compared():
    """An alias is given as it was recorded; a wrong op behind it is still found."""
    assert check(InPlace()) == ""

    def mutate(graph: Graph) -> Graph:
        index = next(i for i, node in enumerate(graph.nodes) if node.op == "add")
        return with_node(graph, index, op="sub")

    with pytest.raises(RefusalError, match="does not reproduce output ''"):
        check(InPlace(), mutate=mutate)


def test_an_unknown_function_is_a_reason_not_to_compare():
    def mutate(graph: Graph) -> Graph:
        node = graph.nodes[1]
        return with_node(graph, 1, op="nobody.knows", arguments={"args": (node.operands[0],)})

    assert "nobody.knows" in check(Mlp(), mutate=mutate)


def test_agreement_is_to_the_bit_or_to_the_noise_of_another_kernel():
    x = torch.randn(100)
    assert _agree(x, x.clone())
    assert _agree(x, x + 1e-6)
    assert not _agree(x, x + 1e-4)
    assert not _agree(x, x[:99])
    assert not _agree(x, x.double())
    assert not _agree(torch.tensor([1, 2]), torch.tensor([1, 3]))
    assert _agree(torch.tensor([float("nan"), 1.0]), torch.tensor([float("nan"), 1.0]))
    assert not _agree(torch.tensor([float("nan"), 1.0]), torch.tensor([1.0, 1.0]))
    assert not _agree(torch.tensor([0.0]), torch.tensor([1e-30]))


def test_nodes_are_what_the_mutations_take_them_for():
    ops = [node.op for node in check_graph().nodes]
    assert ops == ["linear", "relu", "linear", "tanh", "linear"]
    assert all(isinstance(node, Node) for node in check_graph().nodes)


def check_graph() -> Graph:
    found: list[Graph] = []
    check(Mlp(), mutate=lambda graph: found.append(graph) or graph)
    return found[0]
