"""What a verification found: a graded verdict, never a boolean."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from textwrap import indent
from typing import Any, Final, final

from morphir.ir.change import (
    AttributeChange,
    Extension,
    TensorChange,
    tensors_from_json,
    tensors_to_json,
)

_MARGIN: Final = "  "
_SHOWN: Final = 4


class Grade(Enum):
    """How much is known, from the strongest to the weakest.

    The order is that of design: a list of results has the grade of its weakest.
    """

    PROVED = (
        "equal for all inputs that take the recorded path, in real arithmetic on the stored weights"
    )
    PROVED_ON_BOX = "equal for all inputs within the declared bounds"
    TESTED = "not provable here; agreed on the inputs that were tried"
    EMPIRICAL = "holds on the data given, with the measured bound"
    NOT_PRESERVING = "a declared change of function, with the measured drift"
    UNKNOWN = "something had no rule, or nothing was exercised"
    REFUTED = "a counterexample was found"

    @property
    def rank(self) -> int:
        """0 for the strongest."""
        return [*Grade].index(self)

    @classmethod
    def weakest(cls, grades: list[Grade]) -> Grade:
        """The grade of a whole whose parts have these grades."""
        return max(grades, key=lambda grade: grade.rank)

    def __str__(self) -> str:
        return self.name


@final
@dataclass(frozen=True)
class InsertionClaim:
    """What a pass says about one inserted module.

    Attributes:
        law: The law by which the insertion keeps the function.
        anchor: Module whose output the new one takes.
        module: Qualified name of the new module.
        freezes: Parameters that stop to learn; the new module learns in their place.
    """

    law: str
    anchor: str
    module: str
    freezes: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class ResizeClaim:
    """What a pass says about axes that changed together.

    Attributes:
        law: The law by which the function is kept.
        at: Module whose output features were asked for, or the name of an input.
        tensors: State entry to how each of its axes changed; the others are as they were.
        inverse: Whether that is how to get from the new ones to the old.
        inputs: The inputs that got longer; the others are as they were.
        outputs: The outputs that did.
    """

    law: str
    at: str
    tensors: Mapping[str, TensorChange]
    inverse: bool = False
    inputs: tuple[Extension, ...] = ()
    outputs: tuple[Extension, ...] = ()


@final
@dataclass(frozen=True)
class Certificate:
    """What the passes leave for the checker: which programs, and what was done where.

    The checker believes none of it: the claims say where new state may appear and which law to
    name.

    Attributes:
        before: Hash of the program before.
        after: Hash of the program that was recorded from the emitted module.
        insertions: One claim per inserted module.
        resizes: One claim for all axes that changed together.
        steps: Where passes were checked one after the other, the certificate of each; the other
            fields then say nothing but where it began and ended.
        box: Bounds of inputs by name, if it is only about inputs within them.
        removals: One claim per removed module: what its insertion into the new program would be.
        attributes: The attributes of modules that follow the tensors.
        renumbered: The entries that may have other numbers, also as another mask makes them 0.
        masked: Those of them that have another mask, or had none before.
        restarted: Those of them of which optimizers keep nothing any more.
    """

    before: str
    after: str
    insertions: tuple[InsertionClaim, ...] = ()
    resizes: tuple[ResizeClaim, ...] = ()
    steps: tuple[Certificate, ...] = ()
    box: Mapping[str, tuple[float, float]] | None = None
    removals: tuple[InsertionClaim, ...] = ()
    attributes: tuple[AttributeChange, ...] = ()
    renumbered: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()

    @property
    def tensors(self) -> Mapping[str, TensorChange]:
        """How the axes of every state entry changed."""
        return {name: change for claim in self.resizes for name, change in claim.tensors.items()}

    @property
    def inputs(self) -> tuple[Extension, ...]:
        """The inputs that got longer."""
        return tuple(each for claim in self.resizes for each in claim.inputs)

    @property
    def outputs(self) -> tuple[Extension, ...]:
        """The outputs that got longer."""
        return tuple(each for claim in self.resizes for each in claim.outputs)

    @property
    def is_inverse(self) -> bool:
        """Whether it says how the old program comes from the new one."""
        return bool(self.removals) or any(claim.inverse for claim in self.resizes)

    @property
    def inverted(self) -> Certificate:
        """The same, about the way back: equality is symmetric."""
        resizes = tuple(replace(claim, inverse=not claim.inverse) for claim in self.resizes)
        return replace(
            self,
            before=self.after,
            after=self.before,
            insertions=self.removals,
            resizes=resizes,
            removals=self.insertions,
            attributes=tuple(replace(a, old=a.new, new=a.old) for a in self.attributes),
        )

    def to_json(self) -> str:
        """The certificate as JSON."""
        return json.dumps(self._plain(), indent=2)

    def _plain(self) -> dict[str, Any]:
        return {
            "before": self.before,
            "after": self.after,
            "insertions": [asdict(claim) for claim in self.insertions],
            "removals": [asdict(claim) for claim in self.removals],
            "resizes": [
                {
                    "law": claim.law,
                    "at": claim.at,
                    "inverse": claim.inverse,
                    "inputs": [asdict(each) for each in claim.inputs],
                    "outputs": [asdict(each) for each in claim.outputs],
                    **tensors_to_json(claim.tensors),
                }
                for claim in self.resizes
            ],
            "steps": [step._plain() for step in self.steps],
            "attributes": [asdict(each) for each in self.attributes],
            "renumbered": [*self.renumbered],
            "masked": [*self.masked],
            "restarted": [*self.restarted],
            "box": None if self.box is None else {k: [*v] for k, v in self.box.items()},
        }

    @classmethod
    def from_json(cls, text: str) -> Certificate:
        """Reads what `to_json` wrote."""
        return cls._read(json.loads(text))

    @classmethod
    def _read(cls, data: Mapping[str, Any]) -> Certificate:
        return cls(
            data["before"],
            data["after"],
            tuple(map(_insertion, data["insertions"])),
            tuple(
                ResizeClaim(
                    claim["law"],
                    claim["at"],
                    tensors_from_json(claim),
                    claim["inverse"],
                    tuple(Extension(**each) for each in claim["inputs"]),
                    tuple(Extension(**each) for each in claim["outputs"]),
                )
                for claim in data["resizes"]
            ),
            tuple(map(cls._read, data["steps"])),
            None if data["box"] is None else {k: (v[0], v[1]) for k, v in data["box"].items()},
            tuple(map(_insertion, data.get("removals", ()))),
            tuple(map(_attribute, data.get("attributes", ()))),
            tuple(data.get("renumbered", ())),
            tuple(data.get("masked", ())),
            tuple(data.get("restarted", ())),
        )


def _insertion(data: Mapping[str, Any]) -> InsertionClaim:
    return InsertionClaim(**{**data, "freezes": tuple(data.get("freezes", ()))})


def _attribute(data: Mapping[str, Any]) -> AttributeChange:
    old, new = (tuple(v) if isinstance(v, list) else v for v in (data["old"], data["new"]))
    return AttributeChange(data["module"], data["name"], old, new)


@final
@dataclass(frozen=True)
class Check:
    """The outcome of one checker.

    Attributes:
        name: Which checker: `certificate`, `certificate (train)`, `float64`, `native`, `learning`,
            ...
        grade: What it alone would say.
        summary: One line: what was looked at and what was found.
        where: The node, module or output that disagrees, empty when nothing does.
        figures: Measured numbers by name.
        counterexample: Arguments on which the models differ, as they could be typed: one row if
            that is enough.
        arguments: The same as `(args, kwargs)`, None where there are none; JSON does not keep them.
    """

    name: str
    grade: Grade
    summary: str
    where: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    counterexample: str = ""
    arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = field(
        default=None, compare=False, repr=False
    )


@final
@dataclass(frozen=True)
class Report:
    """Everything that is known about one application.

    Attributes:
        grade: The verdict of all checks together (GRADE-1).
        passes: What was applied, each pass as it could be typed, and indented below it what it did.
        laws: Laws that the certificate was checked against.
        entry_points: What was recorded and is covered.
        not_covered: Parameters that no recorded entry point reads.
        checks: The checkers' outcomes.
        notes: What a reader should know: a fixed batch, a moved site, a branch that was taken.
        seconds: Time by phase.
    """

    grade: Grade
    passes: tuple[str, ...] = ()
    laws: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        rows = [*self._rows()]
        width = max(len(label) for label, _ in rows)
        lines = [f"{self.grade}: {self.grade.value}"]
        lines += [indent(text, _MARGIN) for text in self.passes]
        return "\n".join([*lines, *(f"{_MARGIN}{label:<{width}}  {text}" for label, text in rows)])

    def _rows(self) -> Iterator[tuple[str, str]]:
        """Everything below the passes: a label and a line; a row without a label goes on."""
        yield "entry points", ", ".join(self.entry_points) or "none"
        if self.laws:
            yield "laws", ", ".join(self.laws)
        said = ""
        for check in self.checks:
            outcome = f"{check.grade}: {check.summary}"
            yield check.name, f"{check.grade}: as above" if outcome == said else outcome
            said = outcome
            if check.where:
                yield "", f"at {check.where}"
            if check.counterexample:
                yield "", f"with {check.counterexample}"
        if self.not_covered:
            yield (
                "not covered",
                f"{counted(len(self.not_covered), 'parameter')}: {_some(self.not_covered)}",
            )
        for number, note in enumerate(self.notes):
            yield "" if number else "notes", note
        if self.seconds:
            slowest = sorted(self.seconds.items(), key=lambda phase: -phase[1])[:_SHOWN]
            phases = ", ".join(f"{name} {1e3 * s:.1f}" for name, s in slowest)
            yield "time", f"{1e3 * sum(self.seconds.values()):.1f} ms, of it {phases}"

    def check(self, name: str) -> Check | None:
        """The outcome of one checker, or None when it did not run."""
        return next((check for check in self.checks if check.name == name), None)

    def to_json(self) -> str:
        """The report as JSON."""
        bare = replace(self, checks=tuple(replace(c, arguments=None) for c in self.checks))
        data = asdict(bare)
        for check in data["checks"]:
            del check["arguments"]
        return json.dumps(data, indent=2, default=lambda grade: grade.name)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Reads what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        checks = tuple(Check(**{**c, "grade": Grade[c["grade"]]}) for c in data.pop("checks"))
        listed = {key: tuple(v) if isinstance(v, list) else v for key, v in data.items()}
        fields: dict[str, Any] = {**listed, "grade": Grade[data["grade"]], "checks": checks}
        return cls(**fields)


def counted(number: int, noun: str) -> str:
    """A number of things in words: `1 input`, `2 inputs`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
