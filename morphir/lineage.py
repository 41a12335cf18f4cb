"""The lineage of a model: what was done to it, as data.

It is a plain attribute of the model, so it is copied and pickled with it, and it is no part of the
`state_dict`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, final

from torch import nn

from morphir.errors import StorageError
from morphir.ir import AttributeChange, Edit, Fold, Injection, Removal, Renumbering, Resize
from morphir.ir.change import tensors_from_json, tensors_to_json

_ATTRIBUTE: Final = "_morphir_lineage"
_VERSION: Final = 5


@final
@dataclass(frozen=True)
class Step:
    """One inserted module.

    Attributes:
        application: Counts applications; what was checked together shares it.
        anchor: Module whose output the new one takes.
        name: Qualified name of the new module.
        inside: Whether it is a child of the anchor or its neighbour in a Sequential.
        law: The law by which the function was kept.
        spec: Description from which the module is built again.
        follows: Parameters whose optimizer group the new ones joined, the nearest first.
        structure: `structure_of` the model before the application.
        before: Hash of the program before the application.
        after: Hash of the program after it.
    """

    application: int
    anchor: str
    name: str
    inside: bool
    law: str
    spec: Mapping[str, Any]
    follows: tuple[str, ...]
    structure: str
    before: str
    after: str

    def __str__(self) -> str:
        what = f"{self.spec.get('kind')} block of {self.spec.get('features')} ({self.law})"
        return f"{self.name} after {self.anchor}: {what}"


@final
@dataclass(frozen=True)
class RemovalStep:
    """One removed module.

    Attributes:
        application: Counts applications; what was checked together shares it.
        anchor: Module whose output it took.
        name: Its qualified name.
        inside: Whether it was a child of the anchor or its neighbour in a Sequential.
        law: The law by which the function was kept.
        structure: `structure_of` the model before the application.
        before: Hash of the program before the application.
        after: Hash of the program after it.
    """

    application: int
    anchor: str
    name: str
    inside: bool
    law: str
    structure: str
    before: str
    after: str

    @property
    def edit(self) -> Removal:
        """The edit that it was."""
        return Removal(self.anchor, self.name, self.law, self.inside)

    def __str__(self) -> str:
        return f"{self.name} after {self.anchor}: removed ({self.law})"


@final
@dataclass(frozen=True)
class ResizeStep:
    """Axes that changed size together.

    Attributes:
        application: Counts applications; what was checked together shares it.
        at: Module whose output features were asked for, or the name of an input.
        law: The law by which the function was kept.
        changes: How the axes of every tensor changed, as `tensors_to_json` writes it.
        attributes: What followed: module, attribute, old, new.
        spec: How free positions were filled.
        inverse: Whether the changes are those from the new axes to the old ones.
        folds: What biases took over: weight, bias, constants.
        structure: `structure_of` the model before the application.
        before: Hash of the program before the application.
        after: Hash of the program after it.
    """

    application: int
    at: str
    law: str
    changes: Mapping[str, Any]
    attributes: tuple[tuple[str, str, Any, Any], ...]
    spec: Mapping[str, Any]
    inverse: bool
    folds: tuple[tuple[str, str, tuple[float, ...]], ...]
    structure: str
    before: str
    after: str

    @property
    def edit(self) -> Resize:
        """The edit that it was.

        Raises:
            ValueError: The changes are not what `tensors_to_json` writes.
        """
        try:
            tensors = tensors_from_json(self.changes)
            attributes = [AttributeChange(*map(_hashable, each)) for each in self.attributes]
            folds = [Fold(*map(_hashable, each)) for each in self.folds]
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a change of axes: {error!r}") from error
        return Resize(
            self.at, self.law, tensors, attributes, self.spec, inverse=self.inverse, folds=folds
        )

    def __str__(self) -> str:
        count = len(self.changes["tensors"])
        ends = [(m["size"], len(m["source"])) for m in self.changes["maps"]]
        sizes = " and ".join("{} to {}".format(*e[:: -1 if self.inverse else 1]) for e in ends)
        return f"{self.at}: {sizes} units in {count} tensors ({self.law})"


@final
@dataclass(frozen=True)
class NumbersStep:
    """Other numbers, and masks, of parameters.

    Numbers, and which of them are in use, are saved with the model and are no part of a lineage.

    Attributes:
        application: Counts applications; what was checked together shares it.
        at: What was asked for.
        law: The law that it followed.
        spec: How they were chosen.
        parameters: The parameters that have masks since then.
        structure: `structure_of` the model before the application.
        before: Hash of the program before the application.
        after: Hash of the program after it.
    """

    application: int
    at: str
    law: str
    spec: Mapping[str, Any]
    parameters: tuple[str, ...]
    structure: str
    before: str
    after: str

    def __str__(self) -> str:
        return f"{self.at}: other numbers or masks ({self.law})"


@final
@dataclass(frozen=True)
class InjectionStep:
    """A module that began anew beside what it was.

    Attributes:
        application: Counts applications; what was checked together shares it.
        anchor: The module.
        name: Qualified name of the branch that was added to it.
        law: The law by which the function was kept.
        spec: Description from which the branch is built again.
        freezes: Parameters of what it was, which stopped to learn.
        heirs: Each parameter that learns in their place, and the one whose place it took.
        structure: `structure_of` the model before the application.
        before: Hash of the program before the application.
        after: Hash of the program after it.
    """

    application: int
    anchor: str
    name: str
    law: str
    spec: Mapping[str, Any]
    freezes: tuple[str, ...]
    heirs: Mapping[str, str]
    structure: str
    before: str
    after: str

    @property
    def edit(self) -> Injection:
        """The edit that it was."""
        return Injection(
            self.anchor, self.name, self.law, self.spec, self.freezes, dict(self.heirs)
        )

    def __str__(self) -> str:
        count = len(self.heirs)
        return f"{self.name} beside {self.anchor or 'the model'}: {count} parameters ({self.law})"


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


AnyStep = Step | RemovalStep | ResizeStep | NumbersStep | InjectionStep
_KINDS: Final[Mapping[str, type[AnyStep]]] = {
    "insert": Step,
    "remove": RemovalStep,
    "resize": ResizeStep,
    "numbers": NumbersStep,
    "inject": InjectionStep,
}
_TYPES: Final[Mapping[str, type]] = {
    "application": int,
    "at": str,
    "anchor": str,
    "name": str,
    "inside": bool,
    "inverse": bool,
    "law": str,
    "changes": dict,
    "attributes": list,
    "spec": dict,
    "folds": list,
    "follows": list,
    "freezes": list,
    "heirs": dict,
    "parameters": list,
    "structure": str,
    "before": str,
    "after": str,
}


@final
@dataclass(frozen=True)
class Lineage:
    """The steps that made a model what it is, oldest first."""

    steps: tuple[AnyStep, ...] = ()

    def extended(self, edits: Sequence[Edit], structure: str, before: str, after: str) -> Lineage:
        """This lineage with one more application.

        Of several in a row that only gave numbers the last is kept: a replay gives none.
        """
        about = {"structure": structure, "before": before, "after": after}
        old = self.steps
        if old and _only_numbers(old[-1]) and all(_gives_only_numbers(edit) for edit in edits):
            old = old[:-1]
        number = 1 + max((step.application for step in old), default=0)
        return Lineage((*old, *(_step_of(edit, number, about) for edit in edits)))

    @property
    def replayed(self) -> tuple[AnyStep, ...]:
        """The steps that a replay carries out: those that did more than give numbers."""
        return tuple(step for step in self.steps if not _only_numbers(step))

    @property
    def hash(self) -> str:
        """SHA-256 of the JSON form, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The lineage as JSON."""
        return json.dumps(
            {"version": _VERSION, "steps": [_plain(step) for step in self.steps]}, indent=2
        )

    @classmethod
    def from_json(cls, text: str) -> Lineage:
        """Reads what `to_json` wrote.

        Raises:
            StorageError: It is no lineage, or one of a later version.
        """
        try:
            data = json.loads(text)
            version, steps = data["version"], data["steps"]
            if version > _VERSION:
                raise StorageError(
                    f"the lineage has version {version}, this morphir reads up to {_VERSION}: "
                    "update morphir"
                )
            return cls(tuple(map(_step, steps)))
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(f"not a lineage: {error}") from error

    def __str__(self) -> str:
        lines, last = [], 0
        for step in self.steps:
            number = f"{step.application}." if step.application != last else ""
            last = step.application
            lines.append(f"{number:<3} {step}")
        return "\n".join(lines) or "untouched"


def _only_numbers(step: AnyStep) -> bool:
    return isinstance(step, NumbersStep) and not step.parameters


def _gives_only_numbers(edit: Edit) -> bool:
    return isinstance(edit, Renumbering) and not edit.first


def _step_of(edit: Edit, application: int, about: Mapping[str, str]) -> AnyStep:
    if isinstance(edit, Removal):
        return RemovalStep(application, edit.anchor, edit.name, edit.inside, edit.law, **about)
    spec = json.loads(json.dumps(edit.spec))  # as it will be read back
    if isinstance(edit, Resize):
        attributes = tuple((a.module, a.name, a.old, a.new) for a in edit.attributes)
        changes = tensors_to_json(edit.tensors)
        folds = tuple((f.weight, f.bias, f.constants) for f in edit.folds)
        return ResizeStep(
            application, edit.at, edit.law, changes, attributes, spec, edit.inverse, folds, **about
        )
    if isinstance(edit, Renumbering):
        return NumbersStep(application, edit.at, edit.law, spec, edit.first, **about)
    if isinstance(edit, Injection):
        heirs = dict(edit.heirs)
        return InjectionStep(
            application, edit.anchor, edit.name, edit.law, spec, edit.freezes, heirs, **about
        )
    follows = tuple(edit.follows)
    return Step(application, edit.anchor, edit.name, edit.inside, edit.law, spec, follows, **about)


def _plain(step: AnyStep) -> dict[str, Any]:
    (kind,) = (name for name, each in _KINDS.items() if isinstance(step, each))
    return {"kind": kind, **asdict(step)}


def _step(data: Mapping[str, Any]) -> AnyStep:
    given = dict(data)
    kind = _KINDS.get(given.pop("kind", "insert"))
    if kind is None:
        raise ValueError(f"a step is of kind {data['kind']!r}, expected one of {[*_KINDS]}")
    names = {field.name for field in fields(kind)}
    if {*given} != names:
        raise ValueError(f"a step has the fields {sorted(given)}, expected {sorted(names)}")
    for name, value in given.items():
        if not isinstance(value, _TYPES[name]):
            raise ValueError(f"{name} is {value!r}, expected {_TYPES[name].__name__}")
    if kind is Step:
        return Step(**{**given, "follows": tuple(map(str, given["follows"]))})
    if kind is RemovalStep:
        return RemovalStep(**given)
    if kind is NumbersStep:
        return NumbersStep(**{**given, "parameters": tuple(map(str, given["parameters"]))})
    if kind is InjectionStep:
        heirs = {str(name): str(old) for name, old in given["heirs"].items()}
        freezes = tuple(map(str, given["freezes"]))
        return InjectionStep(**{**given, "freezes": freezes, "heirs": heirs})
    listed = {n: tuple(tuple(map(_hashable, e)) for e in given[n]) for n in ("attributes", "folds")}
    step = ResizeStep(**{**given, **listed})
    assert step.edit is not None  # raises where it is none
    return step


def structure_of(model: nn.Module) -> str:
    """SHA-256 of the names and shapes of all parameters, in hexadecimal."""
    parameters = model.named_parameters(remove_duplicate=False)
    listed = sorted((name, [*parameter.shape]) for name, parameter in parameters)
    return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


def lineage_of(model: nn.Module) -> Lineage:
    """The lineage that a model carries; a model that was never changed has an empty one."""
    found = vars(model).get(_ATTRIBUTE)
    return found if isinstance(found, Lineage) else Lineage()


def lineages_in(model: nn.Module) -> dict[str, Lineage]:
    """Every lineage that the model or a part of it carries, by qualified name; "" is the model."""
    found = {name: lineage_of(module) for name, module in model.named_modules()}
    return {name: lineage for name, lineage in found.items() if lineage.steps}


def set_lineage(model: nn.Module, lineage: Lineage) -> None:
    """Makes a model remember its lineage."""
    if lineage.steps:
        vars(model)[_ATTRIBUTE] = lineage
    else:
        vars(model).pop(_ATTRIBUTE, None)
