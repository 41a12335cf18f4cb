"""Golden files: a pass, the program it is given and the program it leaves, together in one file.

`UPDATE_GOLDEN=1 pytest tests/passes/test_golden.py` writes what comes out now; read the difference
before you commit it.
"""

import os
from pathlib import Path

import pytest

from morphir import DeeperPass, RefusalError, WiderPass
from morphir.ir import Added, AxisChange, Mapped, Program, Resize, Rewriter
from morphir.ir.change import maps_in
from morphir.ir.printer import print_program
from morphir.passes.base import run_pass

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = sorted(path for kind in ("deeper", "wider") for path in (GOLDEN / kind).glob("*.txt"))
BEFORE, AFTER = "--- before\n", "--- after\n"


def outcome(command: str, text: str) -> str:
    """The program that a pass leaves, what changes its sizes, or its refusal."""
    rewriter = Rewriter(Program.parse(text))
    pass_ = eval(command, {"DeeperPass": DeeperPass, "WiderPass": WiderPass})
    try:
        run_pass(pass_, rewriter)
    except RefusalError as refusal:
        return f"refused: {refusal}\n"
    if rewriter.resizes:
        return "".join(map(written, rewriter.resizes))
    return print_program(rewriter.program, sources=False)


def written(edit: Resize) -> str:
    """A change of sizes: its maps, and for each tensor how they stand in it."""
    maps = [*dict.fromkeys(m for c in edit.tensors.values() for axis in c for m in maps_in(axis))]

    def shown(axis: AxisChange) -> str:
        if isinstance(axis, Mapped):
            return str(axis.size) if axis.map is None else f"{axis.polarity} {maps.index(axis.map)}"
        if isinstance(axis, Added):
            return f"({' + '.join(map(shown, axis.terms))})"
        return f"({' * '.join(map(shown, axis.factors))})"

    lines = [f"{edit.at} by {edit.law}, {dict(edit.spec)}"]
    for number, each in enumerate(maps):
        sources = " ".join(map(str, each.source))
        lines.append(f"map {number}: {each.size} -> {sources}; {' '.join(map(str, each.share))}")
    for name, change in edit.tensors.items():
        lines.append(f"@{name}[{', '.join(map(shown, change))}]")
    lines += [f"{a.module}.{a.name}: {a.old} -> {a.new}" for a in edit.attributes]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_pass_leaves_what_is_written_down(path: Path):
    """DEEPER-1, DEEPER-2, DEEPER-3, DEEPER-4, WIDER-1, WIDER-2, WIDER-5"""
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
    laws = [*(f"DEEPER-{n}" for n in range(1, 5)), "WIDER-1", "WIDER-2", "WIDER-5"]
    assert all(law in heads for law in laws)
    assert "refused" in heads
