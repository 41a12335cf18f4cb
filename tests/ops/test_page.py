"""The op table as a page says what the declarations say."""

import runpy
from pathlib import Path

from morphir.ops import OPS

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "spec" / "ops.md"


def test_the_page_of_the_op_table_is_up_to_date():
    expected = runpy.run_path(str(ROOT / ".ci" / "op_table.py"))["page"]()
    assert PAGE.read_text(encoding="utf8") == expected, "run: python .ci/op_table.py"


def test_every_op_has_a_row():
    rows = [line for line in PAGE.read_text(encoding="utf8").splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [op.name for op in OPS]
