"""Runs the nightly tests, and the property tests on many more examples; writes docs/nightly.md.

A nightly test reports its figures with pytest's `record_property("success rate", 0.98)`.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Returns pytest's exit status after the page is written."""
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        # The newer junit family has no place for measured properties.
        options = [
            "-m",
            "nightly or hypothesis",
            f"--junit-xml={junit}",
            "-o",
            "junit_family=xunit1",
            "-n",
            "auto",
        ]
        command = [sys.executable, "-m", "pytest", *options]
        environment = os.environ | {"HYPOTHESIS_PROFILE": "nightly"}
        status = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
        rows = [_row(case) for case in ElementTree.parse(junit).iter("testcase")]
    page = ROOT / "docs" / "nightly.md"
    page.parent.mkdir(exist_ok=True)
    page.write_text("\n".join([*_header(), *rows]) + "\n", encoding="utf8")
    print(f"wrote {page.relative_to(ROOT)}")
    return status


def _header() -> list[str]:
    commit = ["git", "describe", "--always", "--dirty"]
    describe = subprocess.run(commit, cwd=ROOT, capture_output=True, text=True, check=False)
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "gymnasium", "nle", "mujoco")
    )
    return [
        "# Nightly results",
        "",
        f"Written by `make nightly` on {datetime.now(UTC):%Y-%m-%d},",
        f"commit {describe.stdout.strip()},",
        f"Python {platform.python_version()}, {libraries},",
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores.",
        "",
        "| test | result | seconds | measured |",
        "| --- | --- | ---: | --- |",
    ]


def _row(case: ElementTree.Element) -> str:
    outcomes = [child.tag for child in case if child.tag in {"failure", "error", "skipped"}]
    measured = [f"{each.get('name')} {each.get('value')}" for each in case.iter("property")]
    name = f"{case.get('classname')}.{case.get('name')}"
    return (
        f"| `{name}` | {outcomes[0] if outcomes else 'passed'} "
        f"| {float(case.get('time', '0')):.0f} | {'; '.join(measured)} |"
    )


if __name__ == "__main__":
    sys.exit(main())
