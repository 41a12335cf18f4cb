"""The notation of signatures is read, solved for its sizes, and refuses what does not fit."""

import pytest

from morphir.ops.signature import parse_signature, signature_layout


def layout(text, shapes, outputs, **arguments):
    return str(signature_layout(text, arguments, shapes, outputs))


def test_a_linear_layer():
    text = "... i, o i, o -> ... o | lin o"
    assert layout(text, [(2, 3), (4, 3), (4,)], [(2, 4)]) == (
        "[...1:2, i:3], [o:4, i:3], [o:4] -> [...1:2, o:4] | map ...1; each i; lin o"
    )


def test_an_operand_that_is_none_is_skipped():
    text = "... i, o i, o -> ... o | lin o"
    assert layout(text, [(3,), (4, 3), None], [(4,)]) == (
        "[i:3], [o:4, i:3] -> [o:4] | each i; lin o"
    )


def test_groups_multiply_and_follow_their_argument():
    text = "b (g i) H, (g o) i K -> b (g o) H' | lin o; g = groups"
    assert layout(text, [(2, 6, 5), (4, 3, 3)], [(2, 4, 3)], groups=2) == (
        "[b:2, (g:2 i:3), H:5], [(g:2 o:2), i:3, K:3] -> [b:2, (g:2 o:2), H':3] | "
        "map b; map g; each i; fixed H; lin o; fixed K; fixed H'; groups = g:2"
    )


def test_a_depthwise_convolution_has_fixed_factors_of_size_1():
    """AXIS-6."""
    text = "b (g i) H, (g o) i K -> b (g o) H' | lin o; g = groups"
    printed = layout(text, [(2, 3, 5), (3, 1, 3)], [(2, 3, 3)], groups=3)
    assert "map g; fixed i" in printed
    assert "fixed o" in printed


def test_a_size_is_read_from_inside_a_tuple():
    text = "... c, c -> ... c | stat c; c = normalized_shape[0]"
    printed = layout(text, [(2, 4), (4,)], [(2, 4)], normalized_shape=(4,))
    assert printed.endswith("| map ...1; stat c; normalized_shape[0] = c:4")


def test_sums_and_halves():
    assert layout("... (c + c) -> ... c", [(2, 6)], [(2, 3)]).startswith("[...1:2, (c:3 + c:3)]")


def test_dots_align_from_the_right_and_broadcast():
    """AXIS-6: the size-1 axis that meets a larger one has an atom of its own, which is fixed."""
    printed = layout("... T d, ... d -> ... T", [(2, 3, 4, 5), (1, 5)], [(2, 3, 4)])
    assert printed.startswith("[...2:2, ...1:3, T:4, d:5], [Broadcast:1, d:5]")
    assert "fixed Broadcast" in printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "exactly one '->'"),
        ("a -> a | linear a", "'linear'"),
        ("a -> a | lin b", r"\['b'\]"),
        ("(a -> a", "cannot read"),
    ],
)
def test_a_malformed_signature_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_signature(text)


@pytest.mark.parametrize(
    ("text", "shapes", "outputs", "message"),
    [
        ("a b -> a", [(2,)], [(2,)], "expected 2 dimensions"),
        ("... a b -> a", [(2,)], [(2,)], "at least 2"),
        ("a, a -> a", [(2,), (3,)], [(2,)], "size 3, expected 2"),
        ("(a b) -> a b", [(7,)], [(2, 3)], "size 7, expected 6"),
        ("(a b) -> (b a)", [(6,)], [(6,)], "cannot be told"),
        ("a -> a", [(2,), (2,)], [(2,)], "more tensors"),
        ("a -> a", [(2,)], [(2,), (2,)], "2 outputs"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(text, shapes, outputs, message):
    with pytest.raises(ValueError, match=message):
        layout(text, shapes, outputs)
