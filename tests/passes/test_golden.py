"""Golden files: a pass, the program it is given and the program it leaves, together in one file.

`UPDATE_GOLDEN=1 pytest tests/passes/test_golden.py` writes what comes out now; read the difference
before you commit it.
"""

import os
from pathlib import Path

import pytest

from morphir import DeeperPass, RefusalError
from morphir.ir import Program, Rewriter
from morphir.ir.printer import print_program
from morphir.passes.base import run_pass

FILES = sorted((Path(__file__).parent.parent / "golden" / "deeper").glob("*.txt"))
BEFORE, AFTER = "--- before\n", "--- after\n"


def outcome(command: str, text: str) -> str:
    """The program that a pass leaves, or its refusal."""
    rewriter = Rewriter(Program.parse(text))
    pass_ = eval(command, {"DeeperPass": DeeperPass})
    try:
        run_pass(pass_, rewriter)
    except RefusalError as refusal:
        return f"refused: {refusal}\n"
    return print_program(rewriter.program, sources=False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pass_leaves_what_is_written_down(path: Path):
    """DEEPER-1, DEEPER-2, DEEPER-3, DEEPER-4"""
    text = path.read_text(encoding="utf8")
    head, _, rest = text.partition(BEFORE)
    before, _, after = rest.partition(AFTER)
    *_, command = head.strip().splitlines()
    found = outcome(command, before)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(head + BEFORE + before + AFTER + found, encoding="utf8")
    assert found == after
    assert str(Program.parse(before)) == before, "the input is in the form that programs print in"


def test_there_is_a_golden_file_for_every_law():
    heads = " ".join(path.read_text(encoding="utf8").partition(BEFORE)[0] for path in FILES)
    assert all(f"DEEPER-{n}" in heads for n in range(1, 5))
    assert "refused" in heads
