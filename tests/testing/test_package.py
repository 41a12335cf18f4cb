"""The kit is an extra."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_without_hypothesis_the_error_names_the_extra():
    program = "import sys; sys.modules['hypothesis'] = None; import morphir.testing"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert "morphir.testing needs hypothesis: pip install 'morphir[testing]'" in ran.stderr
