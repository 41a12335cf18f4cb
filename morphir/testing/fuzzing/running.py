"""Tries scenarios for some time, makes what is found small, and writes it down.

FUZZ-6  the same seed and number of cases give the same findings; what was found is reported
        once, as small as it could be made, and can be seen again in a folder of its own
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, final

from morphir.errors import MorphirError, RefusalError, StorageError
from morphir.ir.report import counted
from morphir.state.files import atomic_path, cannot_write
from morphir.testing.building import build
from morphir.testing.failures import PreservationError
from morphir.testing.fuzzing.findings import Finding, FoundError
from morphir.testing.fuzzing.life import CHECKS, Tally, live
from morphir.testing.fuzzing.report import FuzzReport
from morphir.testing.fuzzing.requests import REQUESTS
from morphir.testing.fuzzing.scenarios import Scenario, scenario, simpler
from morphir.testing.preserving import assert_preserves
from morphir.testing.recipe import Recipe
from morphir.testing.shrinking import simplest
from morphir.testing.source import to_source
from morphir.verify import verify

_MINUTES: Final = 10.0
_SIMPLER: Final = 60  # scenarios to try in order to make one smaller
_SCRIPT: Final = '''\
"""Lives through it again: run it in any folder. It needs morphir with its extra `testing`.

{message}
"""

from morphir.testing import Recipe, Step
from morphir.testing.fuzzing import Action, Scenario, live

live({scenario}, checks={checks})
print("nothing was found: it is gone")
'''


def fuzz(
    *,
    minutes: float | None = None,
    cases: int | None = None,
    seed: int = 0,
    passes: Sequence[str] = tuple(REQUESTS),
    checks: Sequence[str] = CHECKS,
    out: str | Path | None = None,
    stop_after: int | None = None,
    watch: Callable[[FuzzReport], None] | None = None,
) -> FuzzReport:
    """Tries random lives of random models, and reports what should not be.

    In each life a model is trained by a random optimizer, changed by random passes at random places
    in between, saved and loaded. Ctrl-C ends it early, with the report of what there is.

    Args:
        minutes: How long; by default ten minutes, if `cases` is not given.
        cases: How many models, whatever time that takes: the same are tried each time.
        seed: Seed of the models and of all else that is random.
        passes: The passes to choose from, by the names that `morphir fuzz --help` lists.
        checks: The checks of `morphir.verify` that look at every application too.
        out: A new folder for a report, as a page and as JSON, and a folder for each finding.
        stop_after: After how many different findings to stop.
        watch: Called with the report so far after every model.

    Returns:
        The report; `report.findings` is empty if all was well.

    Raises:
        RefusalError: An argument has a value that makes no sense.
        StorageError: The folder cannot be written, or is not empty.

    Example:
        >>> from morphir.testing import fuzz
        >>> fuzz(cases=1, passes=("widen",)).findings
        ()
    """
    _check(passes, checks, minutes, cases, stop_after)
    folder = None if out is None else _new_folder(Path(out))
    limit = 60 * (_MINUTES if minutes is None else minutes) if cases is None else float("inf")
    run = _Run(seed, tuple(passes), tuple(checks), folder)
    ended = ""
    try:
        while not ended:
            run.case()
            if watch is not None:
                watch(run.report(ended))
            ended = run.why_ended(limit, cases, stop_after)
    except KeyboardInterrupt:
        ended = "interrupted"
    report = run.report(ended)
    if folder is not None:
        for name, text in (("report.md", report.to_markdown()), ("report.json", report.to_json())):
            with atomic_path(folder / name) as path:
                path.write_text(text, encoding="utf8")
    return report


@final
class _Run:
    """Scenario after scenario."""

    def __init__(
        self, seed: int, passes: Sequence[str], checks: Sequence[str], folder: Path | None
    ) -> None:
        self._start = time.perf_counter()
        self._seed, self._passes, self._checks, self._folder = seed, passes, checks, folder
        self._cases, self._tally = 0, Tally()
        self._optimizers: Counter[str] = Counter()
        self._found: dict[str, Finding] = {}

    def case(self) -> None:
        """Lives through one more scenario."""
        chosen, number = scenario(self._seed, self._cases, self._passes), self._cases
        self._cases += 1
        self._optimizers[chosen.optimizer] += 1
        error = self._lived(chosen, self._tally)
        if error is None:
            return
        known = self._found.get(error.key)
        if known is not None:
            self._found[error.key] = replace(known, times=known.times + 1)
            return
        key = error.key
        finding = Finding(error.kind, key, str(error), number, chosen)
        self._found[key] = finding  # should making it small be interrupted
        small = simplest(chosen, simpler, lambda each: self._shows(each, key), _SIMPLER)
        again = self._lived(small) or error
        finding = replace(finding, message=str(again), scenario=small)
        self._found[key] = replace(finding, folder=self._written(finding, again))

    def _lived(self, chosen: Scenario, tally: Tally | None = None) -> FoundError | None:
        try:
            live(chosen, checks=self._checks, tally=tally)
        except FoundError as error:
            return error
        return None

    def _shows(self, chosen: Scenario, key: str) -> bool:
        error = self._lived(chosen)
        return error is not None and error.key == key

    def _written(self, finding: Finding, error: FoundError) -> str:
        """Writes a finding down; returns the name of its folder."""
        if self._folder is None:
            return ""
        name = f"found-{len(self._found)}"
        folder = self._folder / name
        folder.mkdir()
        message = finding.message.replace("\\", "\\\\").replace('"""', "'''")
        script = _SCRIPT.format(message=message, scenario=finding.scenario, checks=self._checks)
        (folder / "scenario.py").write_text(script, encoding="utf8")
        (folder / "net.py").write_text(to_source(finding.scenario.recipe), encoding="utf8")
        (folder / "message.txt").write_text(finding.message + "\n", encoding="utf8")
        if error.case is not None:
            _write_application(error, folder / "application")
        return name

    def why_ended(self, limit: float, cases: int | None, stop_after: int | None) -> str:
        """Why it is time to stop, or ""."""
        if stop_after is not None and len(self._found) >= stop_after:
            return f"stopped after {counted(len(self._found), 'finding')}"
        if cases is not None and self._cases >= cases:
            return "all cases tried"
        return "time is up" if time.perf_counter() - self._start >= limit else ""

    def report(self, ended: str) -> FuzzReport:
        """What is known so far."""
        return FuzzReport(
            self._seed,
            self._cases,
            _nested(self._tally.outcomes),
            _nested(self._tally.reasons),
            dict(sorted(self._optimizers.items())),
            dict(self._tally.events),
            tuple(self._found.values()),
            time.perf_counter() - self._start,
            ended,
        )


def _write_application(error: FoundError, folder: Path) -> None:
    """A reproduction of the one application, if it is seen without what came before it."""
    case = error.case
    assert case is not None
    try:
        assert_preserves(
            case.pass_,
            case.module,
            example_inputs=case.example_inputs,
            entry_points=case.entry_points,
            seed=case.seed,
            source=case.source,
            reproduction=folder,
        )
    except (PreservationError, MorphirError):
        return  # the folder was written, or its scenario has to do


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for (name, what), count in sorted(counts.items()):
        found.setdefault(name, {})[what] = count
    return found


def _check(
    passes: Any,
    checks: Sequence[str],
    minutes: float | None,
    cases: int | None,
    stop_after: int | None,
) -> None:
    unknown = [name for name in passes if name not in REQUESTS]
    if isinstance(passes, str) or not passes or unknown:
        raise RefusalError(
            f"passes={passes!r}, expected some of {', '.join(map(repr, REQUESTS))}",
            suggestions=["passes=('widen', 'insert')"],
        )
    if minutes is not None and cases is not None:
        raise RefusalError(
            "minutes= and cases= were both given, expected one of them",
            suggestions=["cases=, which tries the same each time"],
        )
    if checks:
        net = build(Recipe())
        verify(net, net, checks=checks)  # which knows their names
    for name, value in (("minutes", minutes), ("cases", cases), ("stop_after", stop_after)):
        if value is not None and not value > 0:
            raise RefusalError(
                f"{name}={value}, expected a number above 0", suggestions=[f"{name}=10"]
            )


def _new_folder(folder: Path) -> Path:
    if folder.is_dir() and any(folder.iterdir()):
        raise StorageError(f"{folder} is not empty: name a folder that is new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    return folder
