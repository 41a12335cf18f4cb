"""What a run of the fuzzer says: how much was tried, what came of it, and what was found."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import final

from morphir.ir.report import counted
from morphir.testing.fuzzing.findings import Finding

_REASONS = 5  # of each pass, in the page


@final
@dataclass(frozen=True)
class FuzzReport:
    """What was tried and found.

    Attributes:
        seed: Seed of the scenarios.
        cases: How many scenarios were tried: one model with one optimizer each.
        passes: Pass to outcome (a grade, `"refused"`, `"nothing to do"`) to how often.
        refusals: Pass to reason, without names and numbers, to how often.
        optimizers: How many models each optimizer trained.
        events: How often a model was trained, and saved and loaded, between passes.
        findings: What was found, each thing once.
        seconds: How long it took.
        ended: Why it ended.
    """

    seed: int
    cases: int
    passes: Mapping[str, Mapping[str, int]]
    refusals: Mapping[str, Mapping[str, int]]
    optimizers: Mapping[str, int]
    events: Mapping[str, int]
    findings: tuple[Finding, ...]
    seconds: float
    ended: str

    @property
    def applied(self) -> Mapping[str, int]:
        """How often a pass was applied, by grade."""
        total: Counter[str] = Counter()
        for outcomes in self.passes.values():
            total.update(
                {k: v for k, v in outcomes.items() if k not in ("refused", "nothing to do")}
            )
        return dict(total)

    @property
    def refused(self) -> int:
        """How often a pass was refused."""
        return sum(outcomes.get("refused", 0) for outcomes in self.passes.values())

    def __str__(self) -> str:
        grades = ", ".join(f"{grade} {count}" for grade, count in self.applied.items()) or "none"
        return (
            f"{counted(self.cases, 'model')}, {sum(self.applied.values())} passes applied "
            f"({grades}), {self.refused} refused, {self.seconds:.0f} s, seed {self.seed}, "
            f"{self.ended}: {len(self.findings)} found"
        )

    def to_json(self) -> str:
        """All of it as JSON."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)

    def to_markdown(self) -> str:
        """All of it as a page, of refusals the most frequent."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from ("# What fuzzing found", "", str(self), "", "## Findings", "")
        if not self.findings:
            yield "None."
        for each in self.findings:
            times, what = counted(each.times, "time"), each.text.partition("\n")[0]
            yield f"- **{each.kind}**, {times}, first in case {each.case}: {what}"
            if each.folder:
                yield f"  (`{each.folder}/`)"
        columns = sorted({outcome for each in self.passes.values() for outcome in each})
        yield from ("", "## Passes", "")
        rows = [
            [name, *(str(each.get(c, 0)) for c in columns)] for name, each in self.passes.items()
        ]
        yield from _table(["pass", *columns], rows)
        yield from ("", "## Reasons for refusals", "")
        most = {name: Counter(each).most_common(_REASONS) for name, each in self.refusals.items()}
        yield from _table(
            ["pass", "times", "reason"],
            [[name, str(count), _cell(why)] for name, each in most.items() for why, count in each],
        )
        yield from ("", "## Optimizers", "")
        yield from _table(
            ["optimizer", "models"], [[k, str(v)] for k, v in self.optimizers.items()]
        )
        yield from ("", "## Between passes", "")
        yield from _table(["what", "times"], [[k, str(v)] for k, v in self.events.items()])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
