from dataclasses import replace

import torch

from morphir.ir import Node, Program, StateEntry, TensorType
from tests.ir.programs import small


def test_equality_is_of_structure_not_of_weights_or_notes():
    """IR-8"""
    tensors = {name: replace(entry, tensor=torch.zeros(1)) for name, entry in small().state.items()}
    assert small() == replace(small(), state=tensors)
    assert small() == small(notes=("anything",), modules={"net": "Linear"})
    assert small() != replace(small(), mode="train")
    assert small() != replace(small(), model="Other")
    assert small() != small(sequentials=("net",))
    assert small() != "a text"
    assert len({small(), small(), replace(small(), mode="train")}) == 2


def test_the_hash_is_that_of_the_text_and_computed_once():
    program = small()
    assert program.hash == Program.parse(str(program)).hash
    assert len(program.hash) == 64
    assert program.hash is program.hash


def test_what_follows_whatever_the_numbers_is_found_once_for_all_numbers():
    shown: list[Program] = []

    def find(program: Program) -> int:
        shown.append(program)
        return len(shown)

    program = small()
    full = {n: replace(e, tensor=torch.zeros(1)) for n, e in program.state.items()}
    other = program.with_state(full)
    assert (program.once(find), other.once(find), other.with_state(full).once(find)) == (1, 1, 1)
    assert other.once(_entries) == len(full)  # another function is asked for itself
    assert all(entry.tensor is None for each in shown for entry in each.state.values())
    assert other.state == full  # the program itself has them
    masked = {n: replace(e, mask="mask") for n, e in full.items()}
    assert program.with_state(masked).once(find) == 2
    assert replace(other, mode="train").once(find) == 3


def _entries(program: Program) -> int:
    return len(program.state)


def test_a_parameter_that_nobody_reads_is_unreached():
    """FRONT-7: what no entry point reads is not covered."""
    kind = TensorType(torch.float32, (1,))
    extra = {name: StateEntry(name, "parameter", kind) for name in ("returned", "unused")}
    program = small()
    program = replace(program, state={**program.state, **extra})
    assert program.unreached == ("returned", "unused")
    graph = program.graphs["forward"]
    from morphir.ir import Value

    returned = Value("state", "returned", kind)
    program = replace(
        program, graphs={"forward": replace(graph, outputs=(*graph.outputs, ("w", returned)))}
    )
    assert program.unreached == ("unused",)


def test_one_state_serves_several_entry_points():
    program = small()
    graph = program.graphs["forward"]
    both = replace(program, graphs={"forward": graph, "act": replace(graph, name="act")})
    assert Program.parse(str(both)) == both
    assert both.unreached == ()
    assert str(both).count("parameter @net.weight") == 1


def test_a_node_lists_its_operands_in_order():
    graph = small().graphs["forward"]
    linear, _ = graph.nodes
    assert [value.name for value in linear.operands] == ["x", "net.weight"]
    assert Node("f", {"a": (1, None)}, ()).operands == ()
