"""What was found, and when two findings are one."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from morphir.ir import Grade, Report
from morphir.testing.failures import Case, general
from morphir.testing.fuzzing.scenarios import Scenario

WRONG: Final = "wrong verdict"
ALARM: Final = "false alarm"
CRASH: Final = "crash"
PLACELESS: Final = "no place"
CHANGED: Final = "changed"
GRADIENTS: Final = "gradients"
MOMENTS: Final = "moments"
OPTIMIZER: Final = "optimizer"
STORAGE: Final = "save and load"


@final
@dataclass(frozen=True)
class Finding:
    """Something that should not be.

    Attributes:
        kind: What kind of thing, such as `"crash"` or `"false alarm"`.
        key: What two findings have in common that are one.
        message: What was found, as it was printed.
        case: The number of the scenario in which it was found first.
        scenario: That scenario, as small as it could be made.
        times: How often it was found.
        folder: Name of the folder in which it can be seen again, "" if none was written.
    """

    kind: str
    key: str
    message: str
    case: int
    scenario: Scenario
    times: int = 1
    folder: str = ""

    @property
    def text(self) -> str:
        """The message without the kind, which stands beside it."""
        return self.message.removeprefix(f"{self.kind}: ").strip()


@final
class FoundError(AssertionError):
    """A scenario showed something that should not be.

    Attributes:
        kind: What kind of thing.
        key: What two findings have in common that are one.
        case: The pass and the model, if it was found when a pass was applied.
    """

    def __init__(self, kind: str, key: str, message: str, case: Case | None = None) -> None:
        self.kind, self.key, self.case = kind, f"{kind}: {general(key)}", case
        super().__init__(f"{kind}: {message}")


def crash(error: Exception, while_: str, case: Case | None = None) -> FoundError:
    """An error that nobody should see, by its type and the innermost line of ours.

    Args:
        error: The error.
        while_: What was being done.
        case: The pass and the model.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [each for each in frames if "morphir" in Path(each.filename).parts]
    place = f"{Path(ours[-1].filename).name} {ours[-1].name}" if ours else "torch"
    name = type(error).__name__
    text = "".join(traceback.format_exception(error)[-8:])
    return FoundError(CRASH, f"{name} in {place}", f"{while_}: {name}: {error}\n{text}", case)


def objections(report: Report) -> str:
    """The checks that object, with what they say, or ""."""
    bad = [each for each in report.checks if each.grade in (Grade.REFUTED, Grade.UNKNOWN)]
    bad += [each for each in report.checks if "differs" in each.figures and each not in bad]
    return "; ".join(f"{each.name}: {each.summary}" for each in bad)
