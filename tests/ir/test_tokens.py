import pytest

from morphir.ir.tokens import Tokens


def kinds(line: str) -> list[tuple[str, str]]:
    tokens, found = Tokens(line), []
    while tokens.next[0] != "end":
        found.append(tokens.next)
        tokens.take(tokens.next[0])
    return found


def test_a_line_is_cut_where_the_text_form_says():
    assert kinds("%0: f32[3*B, 2] = relu(input=%x)  # a # b") == [
        ("reference", "%0"), ("sign", ":"), ("word", "f32"), ("sign", "["), ("number", "3"),
        ("sign", "*"), ("word", "B"), ("sign", ","), ("number", "2"), ("sign", "]"), ("sign", "="),
        ("word", "relu"), ("sign", "("), ("word", "input"), ("sign", "="), ("reference", "%x"),
        ("sign", ")"),
    ]  # fmt: skip
    assert Tokens("relu()  # a # b").source == "a # b"


def test_a_string_may_hold_anything():
    line = r"""f(a='  # no', b="it's ) writes c", c=@"x \"y\" %0")"""
    assert [text for kind, text in kinds(line) if kind == "string"] == [
        "'  # no'",
        '''"it's ) writes c"''',
    ]
    assert Tokens('@"x \\"y\\""').reference() == ("@", 'x "y"')


@pytest.mark.parametrize(
    ("text", "kind"),
    [("-5", "number"), ("1e-05", "number"), ("1.5", "number"), ("0.weight", "word"),
     ("1.5.2", "word"), ("...", "word"), ("torch.float32", "word"), ("//", "sign")],
)  # fmt: skip
def test_numbers_and_names_are_told_apart(text: str, kind: str):
    assert kinds(text) == [(kind, text)]


def test_a_modulo_is_no_reference():
    assert kinds("(size(%x, 0) % 2)")[-3:] == [("sign", "%"), ("number", "2"), ("sign", ")")]


def test_what_was_expected_and_found_is_said():
    with pytest.raises(ValueError, match="expected a word, found '='"):
        Tokens("= 3").take("word")
    with pytest.raises(ValueError, match=r"expected '\(', found 'the end of the line'"):
        Tokens("").expect("(")
    with pytest.raises(ValueError, match="expected the end of the line, found 'more'"):
        Tokens("more").end()
    with pytest.raises(ValueError, match="cannot read ' §'"):
        Tokens("a §")
