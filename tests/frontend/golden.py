"""Writes the golden texts of the small models: `python -m tests.frontend.golden`."""

from pathlib import Path

from morphir.frontend import record
from morphir.ir import print_program
from tests.frontend.models import ZOO, build

GOLDEN = Path(__file__).parent.parent / "golden" / "ir"

if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for name in ZOO:
        model, how = build(name)
        text = print_program(record(model, **how).program, sources=False)
        (GOLDEN / f"{name}.txt").write_text(text, encoding="utf8")
