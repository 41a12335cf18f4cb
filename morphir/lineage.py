"""The lineage of a model: what was done to it, as data.

It is a plain attribute of the model, so it is copied and pickled with it, and it is no part of the
`state_dict`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, final

from torch import nn

from morphir.errors import StorageError
from morphir.ir import Insertion

_ATTRIBUTE: Final = "_morphir_lineage"
_VERSION: Final = 1


@final
@dataclass(frozen=True)
class Step:
    """One inserted module.

    Attributes:
        application: Counts calls of `transform`; the steps of one application share it.
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


_TYPES: Final[Mapping[str, type]] = {
    "application": int,
    "anchor": str,
    "name": str,
    "inside": bool,
    "law": str,
    "spec": dict,
    "follows": list,
    "structure": str,
    "before": str,
    "after": str,
}


@final
@dataclass(frozen=True)
class Lineage:
    """The steps that made a model what it is, oldest first."""

    steps: tuple[Step, ...] = ()

    def extended(
        self, edits: Sequence[Insertion], structure: str, before: str, after: str
    ) -> Lineage:
        """This lineage with one more application."""
        number = 1 + max((step.application for step in self.steps), default=0)
        new = (
            Step(
                number,
                edit.anchor,
                edit.name,
                edit.inside,
                edit.law,
                json.loads(json.dumps(edit.spec)),  # as it will be read back
                tuple(edit.follows),
                structure,
                before,
                after,
            )
            for edit in edits
        )
        return Lineage((*self.steps, *new))

    @property
    def hash(self) -> str:
        """SHA-256 of the JSON form, in hexadecimal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The lineage as JSON."""
        return json.dumps(
            {"version": _VERSION, "steps": [asdict(step) for step in self.steps]}, indent=2
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
            what = f"{step.spec.get('kind')} block of {step.spec.get('features')} ({step.law})"
            lines.append(f"{number:<3} {step.name} after {step.anchor}: {what}")
        return "\n".join(lines) or "untouched"


def _step(data: Mapping[str, Any]) -> Step:
    if {*data} != {*_TYPES}:
        raise ValueError(f"a step has the fields {sorted(data)}, expected {sorted(_TYPES)}")
    for name, kind in _TYPES.items():
        if not isinstance(data[name], kind):
            raise ValueError(f"{name} is {data[name]!r}, expected {kind.__name__}")
    return Step(**{**data, "follows": tuple(map(str, data["follows"]))})


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
