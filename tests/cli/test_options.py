"""Errors of the library in the words of the command line."""

import pytest

from morphir.cli.options import in_options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("try: example_inputs=(x, y)", "try: --inputs SHAPE --inputs SHAPE"),
        ("example_inputs={'act': (x,)}", "--inputs MODULE:NAME of {'act': (x,)}"),
        ("entry_points=('act', 'value')", "--entry-points act,value"),
        ("try: at='stem'", "try: --at stem"),
        ("nothing of that", "nothing of that"),
    ],
)
def test_arguments_of_the_library_become_options(text: str, expected: str):
    assert in_options(text) == expected
