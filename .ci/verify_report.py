"""How well the checkers check: measures it, and writes docs/verification.md.

    python .ci/verify_report.py [PART ...]   measures these parts anew, by default all but the last
    python .ci/verify_report.py --page       only writes the page, from what was measured before

    zoo           bugs that are planted in passes and models, with twenty seeds (tests/zoo)
    certificates  certificates in which one claim is another
    mutants       models in which one number is another (benchmarks/mutants.py)
    applications  random passes on random models: what is refused or refuted though it is right
    checkers      what each checker costs, by size (benchmarks/checkers.py)
    mutation      changes of the checkers that their tests notice (.ci/mutation.py): takes hours

What a part found is written to benchmarks/results/ when it ends, so what was stopped goes on with
the next part. Ends with 1 if a figure is worse than the page promises.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

ROOT: Final = Path(__file__).resolve().parent.parent
OURS: Final = (str(ROOT), str(ROOT / "benchmarks"))  # what is imported when a part is measured
RESULTS: Final = ROOT / "benchmarks" / "results"
PAGE: Final = ROOT / "docs" / "verification.md"
MUTATION: Final = ROOT / "docs" / "mutation.md"
CASES: Final = 200  # of each fuzzer: together more than 5,000 applications
FUZZERS: Final = range(26)  # their seeds
SEEDS: Final = 20
BUGS: Final = "| bug | model | change | place | caught by |"  # head of the tables in spec/zoo.md

HEAD: Final = (
    "# How well the checkers check",
    "",
    "Written by `make verify-report` from what was measured, which is in `benchmarks/results/`.",
    "What the words mean is said in [what verified means](../spec/verification.md).",
    "",
    "| promise | kept |",
    "| --- | --- |",
)

Found = Mapping[str, Any]


# -- measuring -------------------------------------------------------------------------------------


def run(*command: str, **environment: str) -> int:
    """Runs a command in the repository and returns its exit status."""
    paths = os.pathsep.join(OURS)
    variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths} | environment
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=variables, check=False
    ).returncode


def zoo() -> Found:
    """Plants every bug, with all seeds; the tables say what every test expects."""
    from tests.zoo.planted import SPEC, rows

    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        marks = "nightly or not nightly"
        run("-m", "pytest", "tests/zoo", "-q", "-m", marks, f"--junit-xml={junit}")
        tests = [*ElementTree.parse(junit).iter("testcase")]
    failed = [
        f"{each.get('classname')}.{each.get('name')}"
        for each in tests
        if {child.tag for child in each} & {"failure", "error"}
    ]
    tables = {}
    for section in re.findall(rf"\n## (.+)\n(?:(?!\n## )[^|])+{re.escape(BUGS)}", SPEC.read_text()):
        caught = [row.caught_by.split(", ") for row in rows(section)]
        checkers = Counter(name for names in caught for name in names)
        tables[section] = {"bugs": len(caught), "caught by": dict(checkers)}
    return {"tests": len(tests), "failed": failed, "seeds": SEEDS, "tables": tables}


def certificates() -> Found:
    """Mutates the certificates of all families."""
    import torch
    from rich.progress import track

    from tests.zoo.certificates import FAMILIES, count

    torch.manual_seed(0)
    torch.set_num_threads(1)
    return {"families": [asdict(count(name)) for name in track(FAMILIES, "certificates")]}


def applications() -> Found:
    """Lets random models live through random passes; goes on where it was stopped."""
    from results import commit

    def fuzzed(seed: int) -> Any:
        out = ROOT / "build" / "applications" / commit() / f"seed {seed}"
        report = out / "report.json"
        if not report.exists():
            shutil.rmtree(out, ignore_errors=True)
            run("-m", "morphir", "fuzz", f"--cases={CASES}", f"--seed={seed}", f"--out={out}")
        return json.loads(report.read_text(encoding="utf8"))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        reports = [*pool.map(fuzzed, FUZZERS)]
    passes: dict[str, Counter[str]] = {}
    for name, outcomes in (each for report in reports for each in report["passes"].items()):
        passes.setdefault(name, Counter()).update(outcomes)
    return {
        "cases": sum(report["cases"] for report in reports),
        "seconds": sum(report["seconds"] for report in reports),
        "findings": [each for report in reports for each in report["findings"]],
        "passes": passes,
        "optimizers": sum((Counter(report["optimizers"]) for report in reports), Counter()),
    }


def script(*command: str, ends_with: Sequence[int] = (0,)) -> Callable[[], None]:
    """A part whose script writes its result itself."""

    def measured() -> None:
        status = run(*command)
        if status not in ends_with:
            sys.exit(f"{command[-1]} ended with {status}: what it wrote is from before")

    return measured


PARTS: Final[Mapping[str, Callable[[], Found | None]]] = {
    "zoo": zoo,
    "certificates": certificates,
    "mutants": script("-W", "ignore", "benchmarks/mutants.py"),
    "applications": applications,
    "checkers": script("-W", "ignore", "benchmarks/checkers.py"),
    "mutation": script(".ci/mutation.py", ends_with=(0, 1)),  # 1: survivors without a reason
}


def measure(part: str) -> None:
    """Measures a part and keeps what it found, with the date and the commit."""
    from results import commit

    print(f"== {part}", flush=True)
    found = PARTS[part]()
    if found is not None:
        stamp = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit()}
        text = json.dumps({**stamp, "found": found}, indent=1) + "\n"
        (RESULTS / f"verify_{part}.json").write_text(text, encoding="utf8")


# -- the page --------------------------------------------------------------------------------------


class Page:
    """What is promised, with whether it is so, and the sections behind it."""

    def __init__(self) -> None:
        self.promises: list[tuple[str, bool]] = []
        self.sections: list[str] = []

    def section(self, title: str, *lines: str) -> None:
        """Adds a section."""
        self.sections += ["", f"## {title}", "", *lines]

    def promise(self, text: str, *, kept: bool) -> None:
        """Adds a line to the summary."""
        self.promises.append((text, kept))

    def __str__(self) -> str:
        summary = [f"| {text} | {'yes' if kept else '**no**'} |" for text, kept in self.promises]
        return "\n".join([*HEAD, *summary, *self.sections, ""])


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """A table in Markdown; all columns but the first are numbers."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(map(str, cells))} |" for cells in (head, ruler, *rows)]


def load(name: str) -> Any:
    """What a part found, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf8")) if path.exists() else None


def stamp(found: Mapping[str, Any]) -> str:
    """When and of what a part was measured."""
    return f"Measured on {found['date']} at {found['commit']}."


def bugs_caught(page: Page) -> None:
    """The zoo."""
    given = load("verify_zoo")
    if given is None:
        return
    found = given["found"]
    bugs = sum(each["bugs"] for each in found["tables"].values())
    unseen = sum(each["caught by"].get("nobody", 0) for each in found["tables"].values())
    names = ("certificate", "field", "float64", "native", "kept", "carried")
    rows = [
        (section, each["bugs"], *(each["caught by"].get(name, 0) for name in names))
        for section, each in found["tables"].items()
    ]
    page.promise(
        f"{bugs - unseen} of {bugs} planted bugs are caught by just the checkers that are named, "
        f"with {found['seeds']} seeds",
        kept=not found["failed"] and not unseen,
    )
    failed = [f"- failed: `{name}`" for name in found["failed"]]
    page.section(
        "Planted bugs",
        f"{found['tests']} tests. {stamp(given)} The bugs, and who catches each, stand in",
        "[spec/zoo.md](../spec/zoo.md).",
        "",
        *table(["where", "bugs", *names], rows),
        *failed,
    )


def mutants_killed(page: Page) -> None:
    """Models in which one number is another."""
    given = load("mutants")
    if given is None:
        return
    rows = given["rows"]
    total = sum(row["mutants"] for row in rows)
    names = ("certificate", "field", "float64", "assert_close")
    killed = {name: sum(row["killed"].get(name, 0) for row in rows) for name in names}
    for name, least in (("certificate", 1.0), ("field", 0.999)):
        page.promise(
            f"{killed[name]:,} of {total:,} mutants of single weights are found by the {name}",
            kept=killed[name] >= least * total and total >= 2_000,
        )
    page.section(
        "Models in which one number is another",
        f"{stamp(given)} Moved by one unit in the last place, doubled, negated, cleared or",
        "exchanged with its neighbour. Beside the checkers stands `torch.testing.assert_close` on",
        "the example inputs.",
        "",
        *table(
            ["family", "mutants", *names],
            [
                *(
                    (row["family"], row["mutants"], *(row["killed"].get(n, 0) for n in names))
                    for row in rows
                ),
                ("all", f"{total:,}", *(f"{killed[n] / total:.1%}" for n in names)),
            ],
        ),
    )


def certificates_rejected(page: Page) -> None:
    """Certificates in which one claim is another."""
    given = load("verify_certificates")
    if given is None:
        return
    rows = given["found"]["families"]
    rejected = sum(row["rejected"] for row in rows)
    accepted = sum(len(row["accepted"]) for row in rows)
    page.promise(
        f"{rejected:,} of {rejected + accepted:,} mutants of certificates are rejected",
        kept=not accepted,
    )
    page.section(
        "Certificates in which one claim is another",
        f"{stamp(given)} What says the same, or less, is no mutant, and has to be accepted.",
        "",
        *table(
            ["family", "rejected", "accepted", "say no more"],
            [(r["family"], r["rejected"], len(r["accepted"]), r["equivalent"]) for r in rows],
        ),
    )


def applications_judged(page: Page) -> None:
    """Right changes of random models."""
    given = load("verify_applications")
    if given is None:
        return
    found = given["found"]
    outcomes = sorted({name for each in found["passes"].values() for name in each})
    applied = sum(
        number
        for each in found["passes"].values()
        for name, number in each.items()
        if name not in ("refused", "nothing to do")
    )
    page.promise(
        f"{len(found['findings'])} false alarms or other findings in {applied:,} applications of "
        f"passes to {found['cases']:,} random models",
        kept=not found["findings"] and applied >= 5_000,
    )
    page.section(
        "Random models",
        f"`morphir fuzz --cases {CASES}` with the seeds 0 to {FUZZERS[-1]}, which",
        f"took {found['seconds'] / 60:.0f} minutes in all. {stamp(given)}",
        "",
        *table(
            ["pass", *outcomes],
            [(name, *(each.get(o, 0) for o in outcomes)) for name, each in found["passes"].items()],
        ),
        "",
        *table(["optimizer", "models"], [*found["optimizers"].items()]),
        *(f"- **{each['kind']}**: {each['key']}" for each in found["findings"]),
    )


def costs(page: Page) -> None:
    """Time by size."""
    given = load("checkers")
    if given is None:
        return
    rows = given["rows"]
    targets = {rows[0]["change"]: 1, rows[1]["change"]: 8}
    for row, (change, target) in zip(rows, targets.items(), strict=False):
        cost = row["forwards"]["certificate"]
        page.promise(
            f"of {row['parameters']:,} parameters, {change}, the certificate costs {cost} forwards "
            f"(target {target}), the field checker {row['forwards']['field']} (target 100)",
            kept=cost < target and row["forwards"]["field"] < 100,
        )
    names = ("certificate", "field", "float64")
    page.section(
        "What a check costs",
        f"{stamp(given)} In forwards of the model in float32 at batch 256, and in milliseconds of",
        f"CPU time, on one thread of {given['machine']['cpu']}: how fast matrices are multiplied,",
        "which is what a forward does, differs more between processors than the rest.",
        "",
        *table(
            [
                "change of an MLP",
                "parameters",
                *(f"{n}, forwards" for n in names),
                *(f"{n}, ms" for n in names),
            ],
            [
                (
                    row["change"],
                    f"{row['parameters']:,}",
                    *(row["forwards"][n] for n in names),
                    *(f"{1e3 * row['seconds'][n]:.1f}" for n in names),
                )
                for row in sorted(rows, key=lambda row: row["parameters"])
            ],
        ),
    )


def checkers_mutated(page: Page) -> None:
    """Changes of the checkers themselves, from the page that says more."""
    if not MUTATION.exists():
        return
    text = MUTATION.read_text(encoding="utf8")
    written = re.search(r"on (\S+), commit ([^,]+),", text)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]
    head, _, *files = rows
    (total,) = (cells for cells in files if cells[0].startswith("all "))
    page.promise(
        f"of {int(total[1]):,} changes of the checkers {total[-2]} are found, {total[-1]} by tests "
        "if mypy lets them pass; every other one is explained",
        kept=float(total[-2].removesuffix(" %")) >= 95,
    )
    when = {"date": written[1], "commit": written[2]} if written else {"date": "?", "commit": "?"}
    page.section(
        "Changes of the checkers themselves",
        f"{stamp(when)} Those that no test finds stand in [mutation.md](mutation.md), each with",
        "the reason why it changes no verdict.",
        "",
        *table(head, files),
    )


def page() -> Page:
    """The page of what was measured."""
    found = Page()
    for write in (
        bugs_caught,
        mutants_killed,
        certificates_rejected,
        applications_judged,
        checkers_mutated,
        costs,
    ):
        write(found)
    return found


def main() -> int:
    """Measures what was asked for, and writes the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--page", action="store_true", help="measure nothing")
    options = parser.parse_args()
    unknown = {*options.parts} - {*PARTS}
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not options.page:
        sys.path[:0] = OURS
        for part in options.parts or [name for name in PARTS if name != "mutation"]:
            measure(part)
    found = page()
    PAGE.write_text(str(found), encoding="utf8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return int(not all(kept for _, kept in found.promises))


if __name__ == "__main__":
    sys.exit(main())
