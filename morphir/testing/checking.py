"""Runs all laws on a pass over random modules, and says what a pull request needs to know.

TESTING-20   a pass that breaks a law on one of the modules is reported with that law, with what
             was found, and with a module on which it happens, made as small as could be
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from typing import Final, final

from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table

from morphir.errors import RefusalError
from morphir.passes import MorphismPass
from morphir.randomness import derive_seed
from morphir.result import TransformResult
from morphir.testing.drawing import drawn
from morphir.testing.failures import general
from morphir.testing.laws import LAWS, Law
from morphir.testing.recipe import Recipe
from morphir.testing.shrinking import shrunk
from morphir.testing.strategies import recipes
from morphir.testing.trials import Attempt, Factory, Trial, factory_of

_WIDTH: Final = 110
_USUAL: Final = recipes(min_steps=2, max_steps=5)
_PLACES: Final = 8  # sites that are tried in one module until one is not refused


@final
@dataclass(frozen=True)
class LawReport:
    """What was found about one law.

    Attributes:
        law: Its number and name.
        tried: On how many applications or refusals there was something to look at.
        failed: On how many of those it was broken.
        counterexample: What was found on a small module, with its source; "" if nothing was.
    """

    law: str
    tried: int
    failed: int
    counterexample: str = ""


@final
@dataclass(frozen=True)
class PassReport:
    """What was found about a pass.

    Attributes:
        name: The pass.
        modules: How many modules it was tried on.
        applied: How often it was applied, and did something.
        idle: How often it was applied and had nothing to do.
        refused: How often it was refused.
        reasons: Reasons for refusals, without names and numbers, and how often each was given.
        unadvised: How many of the refusals suggest nothing.
        grades: The grades of what was applied, and how often each was reached.
        laws: What was found about each law.
        seconds: How long it took.
    """

    name: str
    modules: int
    applied: int
    idle: int
    refused: int
    reasons: Mapping[str, int]
    unadvised: int
    grades: Mapping[str, int]
    laws: tuple[LawReport, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether no law was broken, and the pass was applied at least once."""
        return self.applied > 0 and not any(each.failed for each in self.laws)

    def __str__(self) -> str:
        stream = StringIO()
        console = Console(file=stream, width=_WIDTH)
        for part in self._parts():
            is_text = isinstance(part, str)  # source is not to be broken into other lines
            console.print(part, markup=False, highlight=False, soft_wrap=is_text)
        return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())

    def _parts(self) -> Iterator[str | Table]:
        verdict = "keeps every law" if self.ok else "BREAKS A LAW"
        if not self.applied and not any(each.failed for each in self.laws):
            verdict = "was never applied, so nothing is known about it"
        yield f"{self.name} {verdict}"
        yield (
            f"{self.modules} modules, {self.seconds:.0f} s: {self.applied} times applied, "
            f"{self.idle} times nothing to do, {self.refused} times refused "
            f"({self.unadvised} without a suggestion)"
        )
        yield "grades: " + (_counted(self.grades) or "none")
        laws = Table("law", "tried", "broken", box=None, pad_edge=False)
        for each in self.laws:
            broken = str(each.failed) if each.tried else "not tried"
            laws.add_row(each.law, str(each.tried), broken)
        yield laws
        if self.reasons:
            table = Table("refused", "reason", box=None, pad_edge=False)
            for reason, count in self.reasons.items():
                table.add_row(str(count), reason)
            yield table
        for each in self.laws:
            if each.counterexample:
                yield f"\n{each.law} is broken:\n{each.counterexample}"


def check_pass(
    pass_: type[MorphismPass] | Factory,
    *,
    modules: int = 25,
    strategy: st.SearchStrategy[Recipe] | None = None,
    seed: int = 0,
    show: bool = True,
) -> PassReport:
    """Runs the laws of every pass on a pass of yours, over random modules and places in them.

    The same arguments give the same report. A pass is tried at up to eight places of each module,
    until it is not refused.

    Args:
        pass_: The class, of which `at` is filled in if it has no default, `width` and `seed` if it
            has them, and what else there is keeps its default; or a function from a `Site` to a
            pass.
        modules: On how many modules to try it; a second each is usual.
        strategy: Which modules; by default `recipes(min_steps=2, max_steps=5)`.
        seed: Seed of the choice of modules, places and seeds.
        show: Whether to print the report.

    Returns:
        The report. `report.ok` says whether all laws were kept.

    Example:
        >>> from morphir import CompactPass
        >>> from morphir.testing import check_pass
        >>> check_pass(CompactPass, modules=1, show=False).name
        'CompactPass'
    """
    start = time.perf_counter()
    checking = _Checking(
        factory_of(pass_) if isinstance(pass_, type) else pass_,
        pass_ if isinstance(pass_, type) else None,
    )
    chosen = _USUAL if strategy is None else strategy
    trials = st.builds(Trial, chosen, st.integers(0, 19), st.integers(0, 99))
    for number in range(modules):
        run = derive_seed(seed, "check_pass", number)
        checking.check_module(drawn(trials, run))
    report = checking.report(time.perf_counter() - start)
    if show:
        print(report)
    return report


@final
class _Checking:
    """Counts what happens."""

    def __init__(self, make: Factory, pass_type: type[MorphismPass] | None) -> None:
        self._make, self._pass_type = make, pass_type
        self.name = getattr(pass_type or make, "__name__", "the pass")
        self._modules = self._idle = self._unadvised = 0
        self._grades: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._tried: Counter[str] = Counter()
        self._broken: dict[str, list[Trial]] = {name: [] for name in LAWS}

    def check_module(self, trial: Trial) -> None:
        """Tries the places of a module until one is not refused, and dead units if none are."""
        self._modules += 1
        for offset in range(_PLACES):
            attempt = self._check(replace(trial, place=trial.place + offset))
            if not attempt.is_refused:
                break
            if offset + 1 >= attempt.sites:
                return
        is_idle = attempt.result is None and isinstance(attempt.outcome, TransformResult)
        if is_idle and trial.recipe.weights != "sparse":
            self._check(replace(trial, recipe=replace(trial.recipe, weights="sparse")))

    def _check(self, trial: Trial) -> Attempt:
        """Looks at an attempt by every law."""
        attempt = self._attempt(trial)
        self._count(attempt)
        for name, law in LAWS.items() if attempt.is_asked else ():
            complaint = _complaint(law, attempt)
            self._tried[name] += complaint is not None
            if complaint:
                self._broken[name].append(trial)
        return attempt

    def _attempt(self, trial: Trial) -> Attempt:
        return Attempt(trial, self._make, self._pass_type)

    def _breaks(self, law: Law, trial: Trial) -> bool:
        attempt = self._attempt(trial)
        return attempt.is_asked and bool(_complaint(law, attempt))

    def _count(self, attempt: Attempt) -> None:
        found = attempt.outcome
        if isinstance(found, RefusalError):
            self._reasons[general(found.reason)] += 1
            self._unadvised += not found.suggestions
        elif attempt.result is not None:
            self._grades[str(attempt.result.report.grade)] += 1
        elif isinstance(found, TransformResult):
            self._idle += 1

    def report(self, seconds: float) -> PassReport:
        """What was counted, with a small counterexample to each law that was broken."""
        laws = [
            LawReport(law, self._tried[law], len(broken), self._counterexample(law, broken))
            for law, broken in self._broken.items()
        ]
        return PassReport(
            self.name,
            self._modules,
            self._grades.total(),
            self._idle,
            self._reasons.total(),
            dict(self._reasons.most_common()),
            self._unadvised,
            dict(self._grades),
            tuple(laws),
            seconds,
        )

    def _counterexample(self, name: str, broken: Sequence[Trial]) -> str:
        if not broken:
            return ""
        law = LAWS[name]
        smallest = min(broken, key=lambda trial: len(trial.recipe.steps))
        found = shrunk(smallest, lambda trial: self._breaks(law, trial))
        attempt = self._attempt(found)
        complaint = _complaint(law, attempt) or "it was broken once, and then no more"
        return complaint if "module:" in complaint else f"{complaint}\n{attempt.case}"


def _complaint(law: Law, attempt: Attempt) -> str | None:
    """What is wrong, "" if nothing is, or None if there was nothing to look at."""
    try:
        return "" if law(attempt) else None
    except Exception as error:  # a pass may fail in any way
        is_said = isinstance(error, AssertionError)
        return str(error) if is_said else f"{type(error).__name__}: {error}"


def _counted(numbers: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in numbers.items())
