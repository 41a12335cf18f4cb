"""Certificates of correct changes, and what the checker says about their mutants.

The checker has to reject every mutant that *says* something else:

    two certificates say the same if they name the same programs, modules, laws of insertion, ends
    and bounds, and relate the axes of the same tensors in the same way, in the same direction

So two fresh positions that are exchanged say the same, and so do two parts of a split unit; shares,
and the name and law of a change of axes, are no claims about programs. What says less and follows
from what was said is no lie either (`follows_from`): that an axis is copied where it was said to be
split, and so 0 where a unit is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from torch import Tensor, nn

import morphir
from morphir import Certificate, DeeperPass, Grade
from morphir.checks import Extended, check_certificate
from morphir.frontend import record
from morphir.ir import Program, Relation
from morphir.ops import DEFAULT_TABLE
from tests.zoo.certificate_mutants import Mutants, mutants_of
from tests.zoo.changes import CHANGES, REFUSED
from tests.zoo.nets import make, trained

INSERTIONS: Final[dict[str, tuple[str, Sequence[DeeperPass]]]] = {
    "identity": ("deep", [DeeperPass(at="act")]),
    "residual": ("plain", [DeeperPass(at="1", block="residual")]),
    "parametric": ("plain", [DeeperPass(at="1", block="parametric")]),
    "two insertions": ("deep", [DeeperPass(at="act"), DeeperPass(at="act", block="residual")]),
    "convolution": ("padded", [DeeperPass(at="1")]),
}
NOTHING_DONE: Final = (*REFUSED, ("padded", "fold"))
FAMILIES: Final = (*INSERTIONS, *(" ".join(key) for key in CHANGES if key not in NOTHING_DONE))


@dataclass(frozen=True)
class Case:
    """A certificate with the programs that it is about."""

    before: Program
    after: Program
    certificate: Certificate

    def is_accepted(self, certificate: Certificate) -> bool:
        """Whether the checker finds a certificate about these programs to hold."""
        check = check_certificate(self.before, self.after, certificate, DEFAULT_TABLE)
        return check.grade in (Grade.PROVED, Grade.PROVED_ON_BOX)

    def mutants(self) -> Mutants:
        """All mutants, each with what was done to it; some say the same (`follows_from`)."""
        return mutants_of(self.certificate, self.before, self.after)


def case(family: str) -> Case:
    """The certificate of a family: what a pass left of its change."""
    model, x, passes = _asked(family)
    result = morphir.transform(model, passes, example_inputs=(x,), checks=("certificate",))
    given = result.certificate
    inputs = {"forward": ((x,), {})}
    longer = Extended(given.inputs, given.outputs).inputs_of(result.module, inputs)
    before, after = (
        record(each, example_inputs=dict(known)).program
        for each, known in ((model, inputs), (result.module, longer))
    )
    return Case(before, after, given)


def _asked(family: str) -> tuple[nn.Module, Tensor, Any]:
    if family in INSERTIONS:
        name, passes = INSERTIONS[family]
        return *make(name), list(passes)
    (key,) = (key for key in CHANGES if " ".join(key) == family)
    model, x, _ = trained(key[0])
    return model, x, CHANGES[key](x)


def meaning(certificate: Certificate) -> object:
    """What a certificate says to the checker; certificates of one meaning say the same."""
    box = None if certificate.box is None else frozenset(certificate.box.items())
    return (
        certificate.before,
        certificate.after,
        Counter(certificate.insertions),
        Counter(certificate.removals),
        [claim.inverse for claim in certificate.resizes],
        _axes_of(certificate),
        Counter(certificate.inputs),
        Counter(certificate.outputs),
        box,
        certificate.steps,
    )


def follows_from(mutant: Certificate, given: Certificate) -> bool:
    """Whether a certificate says the same as another one, or less of some axes."""
    return meaning(_without_axes(mutant)) == meaning(_without_axes(given)) and all(
        changed.keys() == known.keys()
        and all(_follows(*both) for name in known for both in _pairs(changed[name], known[name]))
        for changed, known in zip(_axes_of(mutant), _axes_of(given), strict=True)
    )


def _without_axes(certificate: Certificate) -> Certificate:
    return replace(
        certificate, resizes=tuple(replace(each, tensors={}) for each in certificate.resizes)
    )


def _axes_of(certificate: Certificate) -> list[dict[str, list[Relation]]]:
    return [
        {name: [axis.relation for axis in change] for name, change in claim.tensors.items()}
        for claim in certificate.resizes
    ]


def _pairs(one: list[Relation], other: list[Relation]) -> Iterator[tuple[Relation, Relation]]:
    if len(one) != len(other):
        yield Relation.identity(1), Relation.identity(2)
    yield from zip(one, other, strict=False)


def _follows(relation: Relation, known: Relation) -> bool:
    """Whether one relation is another, but for what that says of units that are left out."""
    units = known.source.tolist()
    return relation == known or (
        relation.size == known.size
        and relation.is_copied
        and relation.source.tolist() == units
        and len({*units}) == len(units)
        and min(units) >= 0
    )


@dataclass
class Count:
    """What came of the mutants of one family.

    Attributes:
        family: Its name.
        rejected: How many say something else and are rejected.
        accepted: Those that say something else and are not.
        equivalent: How many say the same, or less, and are accepted.
        misjudged: Those that are said to, and are rejected.
    """

    family: str
    rejected: int = 0
    accepted: tuple[str, ...] = ()
    equivalent: int = 0
    misjudged: tuple[str, ...] = ()

    @property
    def mutants(self) -> int:
        """How many say something else."""
        return self.rejected + len(self.accepted)


def count(family: str) -> Count:
    """Asks the checker about every mutant of a family.

    Raises:
        ValueError: It does not accept the certificate itself.
    """
    found, given = Count(family), case(family)
    if not given.is_accepted(given.certificate):
        raise ValueError(f"the certificate of {family} is rejected")
    for name, mutant in given.mutants():
        is_accepted = given.is_accepted(mutant)
        if follows_from(mutant, given.certificate):
            found.equivalent += is_accepted
            found.misjudged += () if is_accepted else (name,)
        else:
            found.rejected += not is_accepted
            found.accepted += (name,) if is_accepted else ()
    return found


def counts() -> Iterator[Count]:
    """The counts of all families, for a report."""
    return map(count, FAMILIES)
