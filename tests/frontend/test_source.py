from pathlib import Path

import torch

from morphir import blocks
from morphir.frontend.source import is_called_by_torch, source_line


def test_the_line_is_the_nearest_of_the_users_code():
    here = Path(__file__).name
    line = source_line()
    assert line == f"{here}:11"
    namespace = {"find": source_line}
    exec(compile("found = find()", torch.__file__, "exec"), namespace)
    assert namespace["found"] == f"{here}:14"


def test_the_blocks_of_morphir_have_no_lines_of_their_own():
    namespace = {"find": source_line}
    exec(compile("found = find()", blocks.__file__, "exec"), namespace)
    assert namespace["found"].startswith(Path(__file__).name)


def test_generated_code_has_no_line_of_its_own():
    namespace = {"find": source_line}
    exec("found = find()", namespace)
    assert str(namespace["found"]).startswith(Path(__file__).name)


def test_a_statement_of_torch_is_told_from_one_of_the_user():
    root = Path(torch.__file__).parent
    for file, expected in [
        (root / "nn" / "functional.py", True),
        (root / "distributions" / "normal.py", True),
        (root / "_tensor.py", False),  # only passes `x in tensor` on
        (root / "overrides.py", False),
        (Path(__file__), False),
    ]:
        namespace = {"ask": is_called_by_torch}
        exec(compile("found = ask()", str(file), "exec"), namespace)
        assert namespace["found"] is expected, file
