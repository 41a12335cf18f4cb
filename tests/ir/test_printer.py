import re

import torch
from hypothesis import given

from morphir.ir import (
    Arithmetic,
    Batch,
    Graph,
    ModuleAttribute,
    Node,
    Program,
    SizeOf,
    TensorType,
    Value,
    number_values,
    print_argument,
    print_graph,
    print_node,
    print_program,
)
from morphir.ir.printer import quote_name
from tests.ir.programs import odd_names, programs, small


def test_the_text_form_reads_like_the_model():
    assert str(small(sequentials=("net",))) == (
        "program Net eval\n"
        "parameter @net.weight: f32[4, 4]\n"
        "buffer @seen: f32[B, 4]\n"
        "sequential net\n"
        "\n"
        "graph forward(%x: f32[B, 4]):\n"
        "  call net:\n"
        "    %0: f32[B, 4] = linear(input=%x, weight=@net.weight)\n"
        "    %1: f32[B, 4] = relu(input=%0)\n"
        "    results %1\n"
        "  update @seen = %0\n"
        "  output '' = %1\n"
    )


def test_arguments_print_as_one_would_write_them():
    x = Value("input", "x", None)
    names = {x: "%x"}
    batch = SizeOf(x, 0)
    for argument, text in [
        ((batch, Arithmetic("//", SizeOf(x, 2), ModuleAttribute("h.0", "heads", 4)), -1),
         "(size(%x, 0), (size(%x, 2) // attribute('h.0', 'heads', 4)), -1)"),
        ((slice(None, 3), ..., None), "(slice(None, 3, None), ..., None)"),
        (torch.bfloat16, "torch.bfloat16"),
        (torch.device("cuda", 1), "device('cuda:1')"),
        (float("-inf"), "float('-inf')"),
        (complex(0.0, -0.0), "complex('-0j')"),
        ((1,), "(1,)"),
        ((), "()"),
        (True, "True"),
    ]:  # fmt: skip
        assert print_argument(argument, names) == text


def test_writes_random_and_sources_stand_after_the_call():
    x, y = Value("input", "x", None), Value("result", "", TensorType(torch.float32, (Batch(2),)))
    node = Node("drop", {"input": x}, (y, Value("result", "", None)), ("input",), True, "net.py:3")
    names = number_values(Graph("f", (x,), (node,), ()))
    line = "%0: f32[2*B], %1 = drop(input=%x) writes input random"
    assert print_node(node, names) == f"{line}  # net.py:3"
    assert print_node(node, names, sources=False) == line
    assert print_node(node, names, sources=False, types=False) == line.replace(": f32[2*B]", "")


def test_results_never_take_the_name_of_an_input():
    x, y = Value("input", "0", None), Value("result", "", None)
    graph = Graph("f", (x,), (Node("relu", {"input": x}, (y,)),), (("", y),))
    assert "%1 = relu(input=%0)" in print_graph(graph)


def test_layers_are_sorted_as_people_count():
    names = ["h.10.w", "h.9.w", "h.2.w", "a"]
    weight = TensorType(torch.float32, (1,))
    from morphir.ir import StateEntry

    state = {name: StateEntry(name, "parameter", weight) for name in names}
    found = re.findall(r"@(\S+):", print_program(Program("Net", "eval", state, {})))
    assert found == ["a", "h.2.w", "h.9.w", "h.10.w"]


@given(odd_names)
def test_a_name_is_printed_on_one_line_and_plain_names_as_they_are(name: str):
    quoted = quote_name(name)
    assert "\n" not in quoted
    assert quoted.isascii()
    assert quoted == name or quoted.startswith('"')


@given(programs())
def test_equal_programs_print_equal_text_whatever_the_order_of_their_state(program: Program):
    """IR-8: state is sorted by name."""
    state = dict(reversed(program.state.items()))
    turned = Program(program.model, program.mode, state, program.graphs, program.sequentials)
    assert print_program(turned) == print_program(program)
    assert turned == program
