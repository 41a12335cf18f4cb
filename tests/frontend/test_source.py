from pathlib import Path

import pytest
import torch
from torch import nn

from morphir import blocks
from morphir.frontend.source import is_called_by_torch, raised_at, source_line


def test_the_line_is_the_nearest_of_the_users_code():
    here = Path(__file__).name
    line = source_line()
    assert line == f"{here}:13"
    namespace = {"find": source_line}
    exec(compile("found = find()", torch.__file__, "exec"), namespace)
    assert namespace["found"] == f"{here}:16"


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


def test_an_error_is_raised_in_the_innermost_module_and_the_last_line_of_the_user():
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x)

    model = nn.Sequential(nn.ReLU(), Body())
    names = {id(module): name for name, module in model.named_modules()}
    line = f"{Path(__file__).name}:{Body.forward.__code__.co_firstlineno + 1}"
    for known, found in [(names, ["1.fc", line]), ({}, [line])]:
        with pytest.raises(RuntimeError) as error:
            model(torch.ones(1, 3))
        assert raised_at(error.value, known) == found
    assert raised_at(RuntimeError("never raised"), names) == []
