"""Whether what was injected learns in the place of what was there.

KEPT-10  what was there before an injection has no gradient, asks for none and is in no
         optimizer group, and neither is the second copy, which equals the first to the bit;
         each parameter of the first copy asks for gradients if the one whose place it takes
         did, and is in one of the groups that held that one, or in none where none did
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import final

from morphir.checks.inventory import Inventory
from morphir.ir.injection import IS_FROZEN, LEARNS
from morphir.ir.report import InsertionClaim


@final
@dataclass(frozen=True)
class Place:
    """What a parameter has whose place another one takes.

    Attributes:
        learns: Whether it asks for gradients.
        groups: The optimizer groups that hold it.
    """

    learns: bool
    groups: tuple[int, ...]


def places_of(before: Inventory, heirs: Mapping[str, str]) -> dict[str, Place]:
    """The places of new parameters, by their names.

    Args:
        before: Taken before anything was done.
        heirs: Each new parameter, and the one whose place it takes.
    """
    return {
        name: Place(bool(before.tensors[old]["requires_grad"]), _groups(before, old))
        for name, old in heirs.items()
    }


def _groups(inventory: Inventory, name: str) -> tuple[int, ...]:
    first = min(inventory.shared[name][0])  # of several names groups have one
    return tuple(i for i, (_, held) in enumerate(inventory.groups) if first in held)


def check_branches(
    after: Inventory, branches: Sequence[InsertionClaim], places: Mapping[str, Place]
) -> Iterator[tuple[str, str]]:
    """Complaints about the parameters of branches, each with its name (KEPT-10).

    Args:
        after: Taken now.
        branches: What was injected; of what was there an inventory of what should be knows all.
        places: The places of those that learn; a certificate alone does not say them.
    """
    for claim in branches:
        yield from _check_copies(after, f"{claim.module}.{LEARNS}", f"{claim.module}.{IS_FROZEN}")
    for name, place in places.items():
        if name not in after.tensors:
            yield name, "KEPT-10: takes no place, since it is not there"
            continue
        found = _groups(after, name)
        if after.tensors[name]["requires_grad"] != place.learns:
            yield name, "KEPT-10: requires gradients, or none, unlike the one whose place it takes"
        if len(found) != min(1, len(place.groups)) or not {*found} <= {*place.groups}:
            yield name, f"KEPT-10: is in the groups {[*found]}, expected one of {[*place.groups]}"


def _check_copies(after: Inventory, fresh: str, frozen: str) -> Iterator[tuple[str, str]]:
    """Complaints about the copy that does not learn, or about one that is not there."""
    held = [name for name in after.tensors if name.startswith(f"{frozen}.")]
    if not held:
        yield frozen, "KEPT-10: there is no such copy"
    for name in held:
        facts = after.tensors[name]
        twin = after.tensors.get(f"{fresh}{name.removeprefix(frozen)}", {})
        if facts["requires_grad"]:
            yield name, "KEPT-10: a copy that does not learn requires gradients"
        if _groups(after, name):
            yield name, "KEPT-10: a copy that does not learn is in an optimizer group"
        if any(facts.get(key) != twin.get(key) for key in ("bits", "shape", "dtype")):
            yield name, "KEPT-10: is not equal to what learns"
