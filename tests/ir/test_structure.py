"""The structural verifier refuses a hand-broken program for each of its laws."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from morphir.errors import VerificationError
from morphir.ir import (
    Arithmetic,
    Call,
    Graph,
    Node,
    Program,
    StateEntry,
    TensorType,
    Value,
    check_structure,
)
from tests.ir.programs import small

WIDE = TensorType(torch.float32, (9, 9))


def with_graph(program: Program, **changes: Any) -> Program:
    return replace(program, graphs={"forward": replace(program.graphs["forward"], **changes)})


def with_node(index: int, change: Callable[[Node], Node]) -> Program:
    """The small program with one of its two nodes changed."""
    program = small()
    (call,) = program.graphs["forward"].calls
    body = [change(node) if i == index else node for i, node in enumerate(call.body)]
    return with_graph(program, body=(Call("net", tuple(body), call.results),))


def value(kind: TensorType | None = None) -> Value:
    return Value("result", "", kind)


def read_early(program: Program) -> Program:
    (call,) = program.graphs["forward"].calls
    return with_graph(program, body=(Call("net", call.body[::-1], call.results),))


def defined_twice(program: Program) -> Program:
    (call,) = program.graphs["forward"].calls
    return with_graph(program, body=(call, *call.body))


def output_is_input(program: Program) -> Program:
    return with_node(1, lambda node: replace(node, outputs=program.graphs["forward"].inputs))


def result_among_inputs(program: Program) -> Program:
    graph = program.graphs["forward"]
    return with_graph(program, inputs=(*graph.inputs, Value("state", "net.weight", None)))


def from_another_graph(program: Program) -> Program:
    (stranger,) = small().graphs["forward"].inputs
    return with_node(1, lambda node: replace(node, arguments={"input": stranger}))


def unknown_state(program: Program) -> Program:
    return replace(program, state={"seen": program.state["seen"]})


def state_of_another_type(program: Program) -> Program:
    weight = replace(program.state["net.weight"], type=WIDE)
    return replace(program, state={**program.state, "net.weight": weight})


def results_from_nowhere(program: Program) -> Program:
    (call,) = program.graphs["forward"].calls
    return with_graph(program, body=(Call("net", call.body, (value(),)),))


def results_too_early(program: Program) -> Program:
    (call,) = program.graphs["forward"].calls
    early, late = call.body
    return with_graph(program, body=(Call("net", (early,), call.results), late))


def output_from_nowhere(program: Program) -> Program:
    return with_graph(program, outputs=(("", value()),))


def update_from_nowhere(program: Program) -> Program:
    return with_graph(program, updates=(("seen", value()),))


def update_of_nothing(program: Program) -> Program:
    return with_graph(program, updates=(("gone", program.graphs["forward"].inputs[0]),))


def writes_nothing(program: Program) -> Program:
    return with_node(1, lambda node: replace(node, writes=("other",)))


def too_few_outputs(program: Program) -> Program:
    return with_node(1, lambda node: replace(node, writes=("input", "input")))


def escape_with_output(program: Program) -> Program:
    return with_node(1, lambda node: replace(node, op="escape"))


def float_with_output(program: Program) -> Program:
    return with_node(1, lambda node: replace(node, op="float"))


def twins(program: Program) -> Program:
    graph = program.graphs["forward"]
    return with_graph(program, inputs=(*graph.inputs, Value("input", "x", None)))


def misfiled_graph(program: Program) -> Program:
    return replace(program, graphs={"get_value": program.graphs["forward"]})


def misfiled_state(program: Program) -> Program:
    return replace(program, state={**program.state, "a": replace(program.state["seen"], name="b")})


def two_with_one_name(program: Program) -> Program:
    entry = StateEntry("c", "buffer", WIDE, ("net.weight",))
    return replace(program, state={**program.state, "c": entry})


def masked_by(mask: StateEntry | None) -> Callable[[Program], Program]:
    def change(program: Program) -> Program:
        weight = replace(program.state["net.weight"], mask="m")
        more = {} if mask is None else {"m": mask}
        return replace(program, state={**program.state, "net.weight": weight, **more})

    return change


def masked_by_itself(program: Program) -> Program:
    weight = replace(program.state["net.weight"], kind="buffer", mask="net.weight")
    return replace(program, state={**program.state, "net.weight": weight})


SQUARE = TensorType(torch.float32, (4, 4))


@pytest.mark.parametrize(
    ("law", "breaks", "words"),
    [
        ("IR-12", masked_by(None), "'net.weight' is masked by 'm', which is no buffer of its type"),
        ("IR-12", masked_by(StateEntry("m", "buffer", WIDE)), "which is no buffer of its type"),
        ("IR-12", masked_by(StateEntry("m", "parameter", SQUARE)), "which is no buffer"),
        ("IR-12", masked_by_itself, "'net.weight' is a mask, and read"),
        ("IR-1", read_early, "%1 is used before it is defined, in %0"),
        ("IR-1", defined_twice, "a value is defined twice"),
        ("IR-1", output_is_input, "a node defines an input or a piece of state"),
        ("IR-1", result_among_inputs, "stands among the inputs"),
        ("IR-1", from_another_graph, "a value of type .* is used before it is defined"),
        ("IR-2", unknown_state, "'net.weight' is no state entry"),
        ("IR-2", state_of_another_type, r"has type f32\[9, 9\] but is read as f32\[4, 4\]"),
        ("IR-3", results_from_nowhere, "the results of net"),
        ("IR-3", results_too_early, "the results of net"),
        ("IR-3", output_from_nowhere, "output ''"),
        ("IR-3", update_from_nowhere, "the update of seen"),
        ("IR-3", update_of_nothing, "the update of 'gone', which is not state"),
        ("IR-4", writes_nothing, "writes 'other', which is not an argument"),
        ("IR-4", too_few_outputs, "1 outputs do not fit"),
        ("IR-4", escape_with_output, "1 outputs do not fit"),
        ("IR-4", float_with_output, "1 outputs do not fit"),
        ("IR-5", twins, "two inputs have the same name"),
        ("IR-7", misfiled_graph, "graph 'forward' is filed under 'get_value'"),
        ("IR-7", misfiled_state, "state 'b' is filed under 'a'"),
        ("IR-7", two_with_one_name, "two tensors are called 'net.weight'"),
    ],
)
def test_a_broken_program_is_refused_by_its_law(
    law: str, breaks: Callable[[Program], Program], words: str
):
    check_structure(small())
    with pytest.raises(VerificationError, match=words) as caught:
        check_structure(breaks(small()))
    assert law in str(caught.value)
    assert "Net" in str(caught.value)


@pytest.mark.parametrize(
    "argument",
    [
        torch.zeros(2), np.float64(0.5), [1, 2], {"a": 1}, object(), torch.relu, {1},
        (1, (np.int64(2),)), slice(None, [1]), Arithmetic("**", 1, 2), Arithmetic("+", 1, 2.5),
    ],
    ids=lambda argument: type(argument).__name__,
)  # fmt: skip
def test_an_argument_that_the_text_form_cannot_hold_is_refused(argument: object):
    """IR-6: what is no literal cannot be compared, printed or hashed."""
    program = with_node(1, lambda node: replace(node, arguments={**node.arguments, "a": argument}))
    with pytest.raises(VerificationError, match="IR-6"):
        check_structure(program)


def test_the_message_prints_the_node():
    with pytest.raises(
        VerificationError, match=r"in %1: f32\[B, 4\] = relu\(input=%0\) writes other"
    ):
        check_structure(writes_nothing(small()))


def test_an_empty_graph_is_well_formed():
    graph = Graph("forward", (), (), ())
    check_structure(Program("Net", "eval", {}, {"forward": graph}))
    assert not graph.nodes
