"""Joint changes: what else has to change size so that the numbers in the code come out right.

PLAN-12  the companions of a change are leaves that change in proportion with it, such that
         together they meet every size obligation
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from morphir.axes.flow import Flow
from morphir.axes.incidence import Incidence
from morphir.axes.obligations import Obligations, Sizes, Unmet
from morphir.axes.polarity import Polarities
from morphir.errors import RefusalError
from morphir.ops import Atom

_TRIES: Final = 1000  # how many choices are looked at


def companions(flow: Flow, incidence: Incidence, sizes: Sizes) -> dict[Atom, int] | None:
    """The joint change that the given one is part of: leaves to new sizes; None if none is found.

    Where something is unmet, the leaves that take part in it are tried one after the other.
    """
    factors = {Fraction(new, leaf.size) for leaf, new in sizes.items()}
    pending = [(dict(sizes), Obligations(flow, incidence, sizes).meet())]
    for _ in range(_TRIES):
        if not pending:
            break
        joint, unmet = pending.pop()
        if unmet is None:
            return joint
        found: list[tuple[dict[Atom, int], Unmet | None]] = []
        for leaf in unmet.leaves if len(factors) == 1 else ():
            size = leaf.size * max(factors)
            if leaf not in joint and size.denominator == 1 and _may_change(flow, incidence, leaf):
                larger = {**joint, leaf: int(size)}
                found.append((larger, Obligations(flow, incidence, larger).meet()))
        # Those first that meet this obligation, and of these the first.
        found.sort(key=lambda each: each[1] is not None and each[1].at == unmet.at)
        pending += reversed(found)
    return None


def _may_change(flow: Flow, incidence: Incidence, leaf: Atom) -> bool:
    if flow.atoms.reason(leaf) is not None:
        return False
    try:
        Polarities(flow, incidence, leaf)
    except RefusalError:
        return False
    return True
