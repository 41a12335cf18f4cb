"""IR-8: the text form is the program."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given

from morphir.errors import VerificationError
from morphir.ir import Node, Program, check_structure, parse_program, print_program
from tests.ir.programs import programs, small


@given(programs())
def test_a_program_prints_parses_back_to_an_equal_one_and_hashes(program: Program):
    """IR-8 on random programs, which IR-1 to IR-7 hold for."""
    check_structure(program)
    text = print_program(program)
    again = parse_program(text)
    check_structure(again)
    assert print_program(again) == text
    assert again == program
    assert again.hash == program.hash
    assert hash(again) == hash(program)


def test_masks_are_part_of_the_text():
    """IR-8, IR-12"""
    weight = small().state["net.weight"]
    state = {
        "net.weight": replace(weight, mask="a mask", aliases=("masked",)),
        "a mask": replace(weight, name="a mask", kind="buffer"),
    }
    program = replace(small(), state={**small().state, **state})
    check_structure(program)
    assert 'f32[4, 4] also masked masked by @"a mask"' in str(program)
    again = parse_program(str(program))
    assert again == program
    assert again != small()
    assert again.masks == {"a mask": "net.weight"}


LITERALS = [
    None, True, False, 0, -7, 10**30, 0.0, -0.0, 1.5, 1e-05, -2.5e300, 1e22, float("nan"),
    float("inf"), float("-inf"), 2j, complex(-0.0, -0.0), complex("nan+infj"), "", "it's", '"',
    "\\", "a  # b", ") writes c", "%0", "@w", "\n", "ü", "\ud800", ..., torch.float32, torch.uint8,
    torch.strided, torch.preserve_format, torch.device("cuda", 1), (), (1,), ((), (None,)),
    slice(None), slice(1, None, -2),
]  # fmt: skip


@pytest.mark.parametrize("literal", LITERALS, ids=repr)
def test_every_literal_is_read_back_to_the_bit(literal: object):
    """IR-8"""
    graph = small().graphs["forward"]
    node = Node("f", {"a": literal, "b": (literal, slice(literal))}, ())
    program = replace(small(), graphs={"forward": replace(graph, body=(*graph.body, node))})
    read = parse_program(str(program)).graphs["forward"].nodes[-1].arguments
    assert repr(read["a"]) == repr(literal)
    assert type(read["a"]) is type(literal)
    assert repr(read["b"]) == repr((literal, slice(literal)))


def test_sources_are_read_but_are_no_part_of_equality():
    """IR-8: the hash is of the text without source lines."""
    text = str(small()).replace("weight=@net.weight)", "weight=@net.weight)  # my file #2.py:3")
    program = parse_program(text)
    (node, _) = program.graphs["forward"].nodes
    assert node.source == "my file #2.py:3"
    assert str(program) == text
    assert program == small()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "program Net eval",
            "program Net",
            r"line 1: expected a word, found 'the end of the line'",
        ),
        ("program Net eval", "program Net sleep", r"line 1: expected eval or train, found 'sleep'"),
        ("f32[4, 4]", "f33[4, 4]", r"line 2: 'f33' is not a dtype"),
        ("relu(input=%0)", "relu(input=%9)", r"line 8: %9 is used before it is defined"),
        ("weight=@net.weight)", "weight=@net.w)", r"line 7: @net\.w is not declared as state"),
        ("relu(input=%0)", "relu(%0)", r"line 8: expected a word, found '%0'"),
        ("relu(input=%0)", "relu(input=%0", r"line 8: expected '\)', found 'the end of the line'"),
        ("relu(input=%0)", "relu(input=eval)", r"line 8: expected an argument, found 'eval'"),
        ("relu(input=%0)", "relu(input=torch.save)", r"line 8: expected an argument"),
        ("relu(input=%0)", "relu(input=device('no'))", r"line 8: Expected one of cpu"),
        ("relu(input=%0)", "relu(input=%0) twice", r"line 8: expected the end of the line"),
        ("relu(input=%0)", "relu(input=;)", r"line 8: cannot read ';\)'"),
        ("%1: f32[B, 4] = relu", "%0: f32[B, 4] = relu", r"line 8: %0 is defined twice"),
        ("    results %1\n", "", r"line 9: expected 'results', found 'update'"),
        ("  output '' = %1", "  ouput '' = %1", r"line 11: expected state, .* found \"ouput"),
        ("  output '' = %1", "output '' = %1", r"line 11: expected state, `sequential`"),
    ],
)
def test_a_broken_text_is_refused_with_the_line(old: str, new: str, message: str):
    text = str(small())
    assert old in text
    with pytest.raises(ValueError, match=message):
        parse_program(text.replace(old, new))


def test_nothing_of_a_text_is_evaluated():
    """The text form may come from anywhere: it can only name torch's literals."""
    for evil in ("__import__('os')", "exec('1')", "torch.load('x')", "[].append(1)"):
        with pytest.raises(ValueError, match="line 8: "):
            parse_program(str(small()).replace("input=%0", f"input={evil}"))


def test_a_parsed_program_can_be_malformed_only_by_its_types():
    text = str(small()).replace("@net.weight: f32[4, 4]", "@net.weight: f32[4, 4] also net.weight")
    with pytest.raises(VerificationError, match="IR-7"):
        check_structure(parse_program(text))
