"""What a run in a cycle of tasks reached in each of its visits, as scores.

A score is 0 at the return of random actions, and 1 at the median of what plain TD3 reaches in as
many steps when the task is the first that its networks see. A network that stays as able to learn
as it was at first has a score of 1 at the end of every visit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any, final

from morphir_agents.config import TD3RunConfig

Row = Mapping[str, Any]

RECOVERED = 0.8
"""The score at which a task counts as learned."""
_LAST = 3  # evaluations at the end of a visit whose mean is what it reached


@final
@dataclass(frozen=True)
class Scale:
    """Of one task: the returns whose scores are 0 and 1."""

    random: float
    fresh: float

    @classmethod
    def of(cls, runs: Sequence[tuple[Sequence[Row], Sequence[Row]]]) -> Scale:
        """The scale that runs of plain TD3 on this task alone have.

        Args:
            runs: Evaluations and log of each; the first row of the log is about random actions.
        """
        random = fmean(float(log[0]["episode_return"]) for _, log in runs)
        reached = [fmean(_returns(evaluations)[-_LAST:]) for evaluations, _ in runs]
        return cls(random, median(reached))

    def score(self, value: float) -> float:
        """The score of a return."""
        return (value - self.random) / (self.fresh - self.random)


@final
@dataclass(frozen=True)
class Visit:
    """One visit of a run.

    Attributes:
        round: How often the tasks had been visited before.
        task: To which task.
        kept: The score before anything was learned in it; of a first visit that of a new head.
        scores: Those of its evaluations.
        steps: When these were, from its beginning on.
        measures: The last row of its log.
    """

    round: int
    task: str
    kept: float | None
    scores: tuple[float, ...]
    steps: tuple[int, ...]
    measures: Row

    @property
    def end(self) -> float:
        """What it reached."""
        return fmean(self.scores[-_LAST:])

    @property
    def recovery(self) -> int:
        """Steps until the task was learned; all that it had, if it was not."""
        found = (step for step, s in zip(self.steps, self.scores, strict=True) if s >= RECOVERED)
        return next(found, self.steps[-1])


def visits_of(
    config: TD3RunConfig,
    evaluations: Sequence[Row],
    log: Sequence[Row],
    scales: Mapping[str, Scale],
) -> list[Visit]:
    """The visits of a run, in order.

    Args:
        config: The run.
        evaluations: The rows of the deterministic policy.
        log: Those of its log.
        scales: By task.
    """
    found = []
    for number in range(config.cycle.visits):
        begin, end = number * config.visit_steps, (number + 1) * config.visit_steps
        task = config.cycle.tasks[number % config.cycle.heads]
        own = [row for row in evaluations if row["task"] == task and begin <= row["step"] <= end]
        arrival = [row for row in own if row["step"] == begin]
        learned = [row for row in own if row["step"] > begin]
        score = scales[task].score
        found.append(
            Visit(
                number // config.cycle.heads,
                task,
                score(_returns(arrival)[0]) if arrival else None,
                tuple(map(score, _returns(learned))),
                tuple(row["step"] - begin for row in learned),
                next(row for row in reversed(log) if begin < row["step"] <= end),
            )
        )
    return found


def _returns(rows: Sequence[Row]) -> list[float]:
    return [float(row["mean_return"]) for row in rows]
