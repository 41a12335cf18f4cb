"""Arrows between the parts of morphir point one way, and the table below is all of them.

A part is a folder or a file in `morphir/`. What a part may import is written out, not derived: a
new arrow is a decision, and this is where a reviewer sees it.
"""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "morphir"

MAY_IMPORT: dict[str, set[str]] = {
    "__main__": {"cli"},
    # Leaves: they know torch and nothing of us.
    "errors": set(),
    "randomness": set(),
    "tensors": set(),
    "versions": set(),
    "described": set(),
    "dispatch": set(),
    "cloning": {"tensors"},
    # The compiler's core.
    "ir": {"errors", "tensors"},
    "ops": {"errors", "tensors", "ir"},
    "axes": {"errors", "ir", "ops"},
    "frontend": {
        "errors", "randomness", "tensors", "described", "dispatch", "cloning", "ir", "ops",
    },
    # Share the op table with the planner and nothing else: that independence is what a proof is
    # worth.
    "checks": {"errors", "randomness", "tensors", "dispatch", "cloning", "ir", "ops"},
    # Shares nothing with any of them, not even the op table.
    "field": {"randomness", "tensors", "cloning", "ir"},
    "blocks": {"ops"},
    "injected": {"errors", "randomness", "tensors", "cloning", "lineage", "masks"},
    "shares": {"randomness", "ir"},
    "initial": {"errors", "randomness", "ir"},
    # A pass records the block that it inserts: what it says about it is what the block does. It
    # measures units that start anew with the numbers that the backend will draw.
    "passes": {
        "errors", "randomness", "tensors", "ir", "ops", "axes", "frontend", "blocks", "shares",
        "initial",
    },
    "backend": {
        "errors", "randomness", "tensors", "described", "cloning", "ir", "initial", "injected",
    },
    # What surrounds a model.
    "lineage": {"errors", "ir"},
    "masks": {"errors", "ir", "tensors"},
    "result": {"ir", "lineage", "recordings"},
    "state": {
        "errors", "versions", "tensors", "ir", "ops", "frontend", "blocks", "backend", "lineage",
        "result", "masks",
    },
    # What users call.
    "emission": {"errors", "frontend", "ir", "ops", "randomness", "tensors"},
    "attributes": {"checks"},
    "recordings": {"errors", "cloning", "frontend", "checks", "tensors", "attributes"},
    "renumbered": {"checks", "ir", "state", "tensors"},
    "grading": {"ir"},
    "pipeline": {
        "errors", "described", "ir", "ops", "frontend", "checks", "field", "backend", "lineage",
        "state", "emission", "recordings", "grading", "renumbered",
    },
    "lockstep": {"errors", "frontend", "lineage", "masks", "result"},
    "stages": {"errors", "frontend", "ir", "passes", "recordings"},
    "transform": {
        "errors", "ir", "checks", "passes", "backend", "lineage", "lockstep", "pipeline",
        "recordings", "result", "stages", "state",
    },
    "planned": {"errors", "randomness", "ir"},
    "plan": {
        "errors", "described", "frontend", "ir", "checks", "passes", "backend", "pipeline",
        "planned", "recordings", "stages", "state",
    },
    "show": {"errors", "ir", "ops", "axes", "passes"},
    "cli": {"errors", "frontend", "ir", "show", "state", "testing", "verify"},
    "verify": {
        "errors", "ir", "ops", "frontend", "checks", "field", "recordings", "grading", "export",
    },
    "lowering": {"errors", "randomness", "cloning", "ir", "ops", "axes", "frontend", "verify"},
    "export": {
        "errors", "randomness", "tensors", "versions", "cloning", "ir", "frontend", "checks",
        "lineage", "state",
    },
    # What authors of passes call in their tests.
    "testing": {
        "errors", "randomness", "tensors", "versions", "ir", "axes", "frontend", "passes",
        "lineage", "masks", "result", "state", "grading", "transform", "verify",
    },
}  # fmt: skip

# What only an extra installs is imported where it is used, so that `import morphir` works without.
ONLY_INSIDE = {"export": {"onnx", "onnx_ir", "onnxruntime", "onnxscript"}}
# Parts that nobody else imports, and that say what is missing when they are.
NEEDS_EXTRA = {"testing": {"hypothesis", "pytest"}}


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(tree: ast.AST, *, deep: bool = True) -> Iterator[str]:
    """Full names of imported modules, those inside functions too with `deep`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif not is_for_types_only(node) and (deep or not isinstance(node, ast.FunctionDef)):
            yield from imports(node, deep=deep)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf8"), filename=str(path))


def test_the_table_has_a_row_for_every_part():
    parts = {part_of(path) for path in files()}
    assert parts == MAY_IMPORT.keys(), "say in the table what the new part may import"


def test_the_arrows_make_no_circle():
    TopologicalSorter(MAY_IMPORT).prepare()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_import_is_an_arrow_of_the_table(path: Path):
    part = part_of(path)
    for name in imports(parse(path)):
        top, _, rest = name.partition(".")
        if top == "morphir":
            target = rest.partition(".")[0]
            assert target == part or target in MAY_IMPORT[part], (
                f"{path.relative_to(ROOT)} imports {name}: {part!r} may import "
                f"{sorted(MAY_IMPORT[part])}. Move what it needs down, or argue for a new arrow"
            )


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_what_is_required_is_imported(path: Path):
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    required = {line.partition(">")[0] for line in requirements} | {"morphir"}
    allowed = required | set(sys.stdlib_module_names) | NEEDS_EXTRA.get(part_of(path), set())
    tree = parse(path)
    assert {name.partition(".")[0] for name in imports(tree, deep=False)} <= allowed
    inside = ONLY_INSIDE.get(part_of(path), set())
    assert {name.partition(".")[0] for name in imports(tree)} <= allowed | inside


@pytest.mark.parametrize(
    ("part", "other"),
    [
        ("checks", "passes"),
        ("checks", "frontend"),
        ("checks", "backend"),
        ("ops", "passes"),
        ("passes", "checks"),
        ("passes", "backend"),
        ("ir", "ops"),
    ],
)
def test_what_matters_most_holds_through_any_number_of_arrows(part: str, other: str):
    reached, queue = set(), [part]
    while queue:
        queue += MAY_IMPORT[queue.pop()] - reached
        reached.update(queue)
    assert other not in reached


def test_morphir_works_without_the_extras_and_the_agents():
    """`import morphir` loads none of them, also not by way of something else."""
    program = (
        "import sys, morphir\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "extras = {'onnx', 'onnxruntime', 'onnxscript', 'gymnasium', 'nle', 'minihack', 'tyro',"
        " 'stable_baselines3', 'transformers', 'morphir_agents', 'hypothesis'}\n"
        "print(sorted(loaded & extras))\n"
    )
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
