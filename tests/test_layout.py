"""The layout keeps its promises: tests mirror the source, and laws have tests."""

import ast
import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SOURCES = {"morphir": TESTS, "agents/morphir_agents": TESTS / "agents"}

LAW = r"[A-Z][A-Z0-9]+(?:-[A-Z]+)*-\d+"
# Written like a law, but names of something else.
NOT_LAWS = {"GPT-2", "ISO-8601", "SHA-256", "UTF-8"}


def sources() -> dict[str, Path]:
    """Maps each source file, from the root, to where its test belongs."""
    found = {}
    for folder, tests in SOURCES.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            if not path.name.startswith("__"):
                place = tests / path.relative_to(ROOT / folder).parent
                found[str(path.relative_to(ROOT))] = place / f"test_{path.name}"
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"), filename=str(path))


def only_declares_ops(path: Path) -> bool:
    """Whether a file is part of the op table, which one contract test covers row by row."""
    if path.parent != ROOT / "morphir" / "ops":
        return False
    targets = [t for node in parse(path).body if isinstance(node, ast.Assign) for t in node.targets]
    return any(isinstance(target, ast.Name) and target.id == "OPS" for target in targets)


@pytest.mark.parametrize(("source", "test"), sources().items(), ids=sources())
def test_every_source_file_has_a_test_file_at_the_mirrored_path(source: str, test: Path):
    if only_declares_ops(ROOT / source):
        test = TESTS / "ops" / "test_contract.py"
    assert test.is_file(), f"{source} has no test: write {test.relative_to(ROOT)}"


@pytest.mark.parametrize("path", sorted(TESTS.rglob("test_*.py")), ids=lambda p: str(p.name))
def test_every_test_file_asserts_something(path: Path):
    def asserts(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return isinstance(node, ast.Assert)
        name = ast.unparse(node.func).rpartition(".")[2]
        return name == "raises" or name.startswith(("assert_", "check_"))

    assert any(asserts(node) for node in ast.walk(parse(path))), (
        f"{path.relative_to(ROOT)} can't fail: assert what it should show, or delete it"
    )


def statements() -> list[str]:
    """The law numbers that spec/ states: those that open a heading or stand in bold."""
    pages = [path.read_text(encoding="utf8") for path in (ROOT / "spec").rglob("*.md")]
    return [law for page in pages for law in re.findall(rf"(?m)(?:^#+ +|\*\*)({LAW})\b", page)]


def stated_laws() -> set[str]:
    return {*statements()}


def cited_laws() -> dict[str, str]:
    """The laws that tests cite (`GAE-1`, or `def test_gae_1_...`), each with one file that does."""
    stated = stated_laws()
    cited: dict[str, str] = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf8")
        named = {f"{a.upper()}-{n}" for a, n in re.findall(r"\bdef test_([a-z]+)_(\d+)_", text)}
        if path != Path(__file__):
            laws = {*re.findall(rf"\b{LAW}\b", text), *named & stated} - NOT_LAWS
            cited |= dict.fromkeys(laws, str(path.relative_to(ROOT)))
    return cited


def test_no_number_is_that_of_two_laws():
    twice = [law for law, times in Counter(statements()).items() if times > 1]
    assert not twice, f"{twice} are stated twice: give one of the two another number"


def test_every_law_is_cited_by_a_test():
    laws = stated_laws()
    assert laws, "spec/ states no law: number one at the start of a heading or in bold"
    untested = sorted(laws - cited_laws().keys())
    assert not untested, f"no test cites {untested}: cite the number where the law is tested"


def test_every_law_that_a_test_cites_is_stated():
    unknown = {law: file for law, file in cited_laws().items() if law not in stated_laws()}
    assert not unknown, (
        f"not in spec/: {unknown}; state the law there, mend the number, "
        "or add a name that is no law to NOT_LAWS"
    )
