"""Writes docs/mutation.md from mutmut's folder and what is said about each survivor."""

from __future__ import annotations

import platform
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final, NamedTuple

from mutmut.configuration import config
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.utils.format_utils import orig_function_and_class_names_from_key

UNTRIED, FAILED, NO_TESTS, ILL_TYPED = None, 1, 33, 37  # mutmut's codes
SURVIVED: Final = (0, NO_TESTS)
EXPLANATIONS: Final = "docs/mutation_survivors.toml"


class Survivor(NamedTuple):
    """A mutant that no test noticed: the function, a line of it, and what became of that."""

    place: str
    was: str
    now: str


def explanations(root: Path) -> dict[Survivor, str]:
    """Why each survivor is none that a test could notice."""
    groups = tomllib.loads((root / EXPLANATIONS).read_text(encoding="utf8"))["group"]
    return {Survivor(*mutant): group["why"] for group in groups for mutant in group["mutants"]}


def survivor(data: SourceFileMutationData, name: str) -> Survivor:
    """What a mutant is, whatever its number."""
    method, owner = orig_function_and_class_names_from_key(name)
    module = str(data.path).removeprefix("morphir/").removesuffix(".py").replace("/", ".")
    diff = get_diff_for_mutant(name, path=data.path).splitlines()[2:]
    was, now = (
        " ".join(line[1:].strip() for line in diff if line.startswith(sign)) for sign in "-+"
    )
    return Survivor(".".join(filter(None, (module, owner, method))), was, now)


def write(root: Path, found: Sequence[SourceFileMutationData]) -> int:
    """Writes the page; fails where a survivor has no explanation, or one has no survivor."""
    explained = explanations(root)
    survivors = Counter(
        survivor(data, name)
        for data in found
        for name, code in data.exit_code_by_key.items()
        if code in SURVIVED
    )
    untold, gone = survivors.keys() - explained.keys(), explained.keys() - survivors.keys()
    for problem, mutants in (("has no explanation", untold), ("did not survive", gone)):
        for place, was, now in sorted(mutants):
            print(f"{problem}: {place}\n    - {was}\n    + {now}", file=sys.stderr)
    known = {mutant: why for mutant, why in explained.items() if mutant in survivors}
    lines = [*_header(root), *_table(found), "", *_explanations(survivors, known)]
    (root / "docs" / "mutation.md").write_text("\n".join(lines) + "\n", encoding="utf8")
    print("wrote docs/mutation.md")
    return int(bool(untold or gone))


def _header(root: Path) -> list[str]:
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    tools = ", ".join(f"{name} {version(name)}" for name in ("mutmut", "mypy", "pytest", "torch"))
    tests = ", ".join(f"`{path}`" for path in config().pytest_add_cli_args_test_selection)
    return [
        "# Mutation testing of the checkers",
        "",
        f"Written by `make mutation` on {datetime.now(UTC):%Y-%m-%d}, commit "
        f"{commit.stdout.strip()}, Python {platform.python_version()}, {tools}.",
        "",
        "A mutant is one small change of a checker: another operator, number or name, an argument "
        "less, a condition that is always true or never.",
        f"It is found if mypy rejects it, or if a test among {tests} fails or takes ten times as "
        "long. Not mutated are what",
        "only raises or is only read by people (lines that raise, the `strict=True` of a `zip`, "
        "strings with a blank), functions with a decorator",
        "other than `classmethod` and `staticmethod`, and constants of modules. Of files that are "
        "no part of the certificate or the field checker a sample",
        "is run. `found` is the share of all mutants that mypy or a test finds, `by tests` that of "
        "the mutants that were run.",
        "",
    ]


def _table(found: Sequence[SourceFileMutationData]) -> Iterator[str]:
    yield "| file | mutants | mypy rejects | run | a test fails | survive | found | by tests |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    total: Counter[str] = Counter()
    for data in found:
        codes = [*data.exit_code_by_key.values()]
        row = Counter(all=len(codes), typed=codes.count(ILL_TYPED))
        row["run"] = len(codes) - row["typed"] - codes.count(UNTRIED)
        row["survived"] = sum(code in SURVIVED for code in codes)
        yield _row(f"`{data.path}`", row)
        if UNTRIED not in codes:
            total += row
    yield _row("all files of which every mutant was run", total)


def _row(name: str, row: Mapping[str, int]) -> str:
    failed = row["run"] - row["survived"]
    counts = (row["all"], row["typed"], row["run"], failed, row["survived"])
    is_whole = row["all"] == row["typed"] + row["run"]
    shares = (
        _percent(row["typed"] + failed, row["all"]) if is_whole else "",
        _percent(failed, row["run"]) if row["run"] else "",
    )
    return f"| {name} | {' | '.join([*map(str, counts), *shares])} |"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %"


def _explanations(
    survivors: Mapping[Survivor, int], explained: Mapping[Survivor, str]
) -> Iterator[str]:
    yield "## Survivors"
    for why in dict.fromkeys(explained.values()):
        yield from ("", why, "")
        for mutant in (each for each in explained if explained[each] == why):
            times = f" ({survivors[mutant]} times)" if survivors[mutant] > 1 else ""
            yield f"- `{mutant.place}`: `{mutant.was}` becomes `{mutant.now}`{times}"
