"""The wheel holds the two packages and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the wheel contains, built as `python -m build` does but without network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    built = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_no_other_top_level_name(names: list[str]):
    top = {name.partition("/")[0] for name in names}
    metadata = {name for name in top if name.endswith(".dist-info")}
    assert len(metadata) == 1
    assert top - metadata == {"morphir", "morphir_agents"}


@pytest.mark.slow
def test_it_is_typed_and_licensed(names: list[str]):
    assert {"morphir/py.typed", "morphir_agents/py.typed"} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


@pytest.mark.slow
def test_no_source_file_is_missing(names: list[str]):
    sources = {
        f"{package.name}/{path.relative_to(package)}"
        for package in (ROOT / "morphir", ROOT / "agents" / "morphir_agents")
        for path in package.rglob("*.py")
    }
    assert sources == {name for name in names if name.endswith(".py")}
