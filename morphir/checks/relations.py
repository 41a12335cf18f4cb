"""What an op does to relations: the relation of its results from those of its operands.

    CERT-11  if the operands of a call are related to those of the old call, atom by atom, as its
             layout allows (AXIS-4), then its results are related to the old ones

The rules are those of `morphir.ops.axes`, for whole relations instead of single maps: an atom of
one op may be heads that are copied and a width that is split at once. Where a proof needs more than
"the same on both sides", it is a count:

    a sum of products   sum_j x'[j] y'[j] = sum_i x[i] y[i]  if every position takes a pair of parts
                        of one unit, and every such pair is taken exactly once
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from morphir.checks.rejection import Rejection
from morphir.ir.relation import FREE, ZERO, Relation
from morphir.ops.axes import Role, Site
from morphir.ops.forms import Form, Product, Sum, parts_of


@final
@dataclass(frozen=True)
class Uniform:
    """The relation of an axis along which nothing varies: any copy of old units is true of it."""

    size: int
    new_size: int

    def like(self, relation: Relation) -> Relation:
        """What is true of it beside another relation: the same units, copied."""
        take = np.where(relation.take == ZERO, FREE, relation.source)
        return Relation.of(self.size, take, np.arange(self.size))


Known = Relation | Uniform | None  # None is the identity


def constant(size: int, new_size: int) -> Known:
    """The relation of an axis along which nothing varies."""
    return None if size == new_size else Uniform(size, new_size)


def decompose(form: Form, new: Form, known: Known) -> list[Known]:
    """The relation of each atom of an axis, from left to right.

    Raises:
        Rejection: The axis changed in a way that is none of its atoms.
    """
    parts, new_parts = parts_of(form), parts_of(new)
    if type(form) is not type(new) or len(parts) != len(new_parts):
        raise Rejection(f"CERT-11: an axis was {form} and is {new}")
    if not parts:
        return [_fitting(form, new, known)]
    if known is None:
        each: Sequence[Known] | None = [None] * len(parts)
    elif isinstance(known, Uniform):
        each = [
            Uniform(part.size, after.size) for part, after in zip(parts, new_parts, strict=True)
        ]
    else:
        sizes, new_sizes = ([part.size for part in side] for side in (parts, new_parts))
        each = (known.factors if isinstance(form, Product) else known.terms)(sizes, new_sizes)
    if each is None:
        raise Rejection(f"CERT-11: an axis that is {form} changes across its parts")
    both = zip(parts, new_parts, each, strict=True)
    return [found for part, after, one in both for found in decompose(part, after, one)]


def _fitting(form: Form, new: Form, known: Known) -> Known:
    sizes = (form.size, form.size) if known is None else (known.size, known.new_size)
    if sizes != (form.size, new.size):
        raise Rejection(f"CERT-11: an axis of {form.size} became one of {new.size}")
    is_same = known is None or (isinstance(known, Relation) and known.is_identity)
    return None if is_same else known


def compose(form: Form, known: Iterable[Known]) -> Known:
    """The relation of an axis from those of its atoms, which are used up from left to right.

    Raises:
        Rejection: A part of it is uniform, and another one changes.
    """
    parts = parts_of(form)
    if not parts:
        return next(iter(known))
    each = [compose(part, known) for part in parts]
    if all(one is None for one in each):
        return None
    if all(isinstance(one, Uniform) for one in each):
        return _joined(form, [one for one in each if isinstance(one, Uniform)])
    found = [_concrete(part, one) for part, one in zip(parts, each, strict=True)]
    return (Relation.sum if isinstance(form, Sum) else Relation.product)(found)


def _joined(form: Form, each: Sequence[Uniform]) -> Uniform:
    total = sum if isinstance(form, Sum) else np.prod
    return Uniform(form.size, int(total([one.new_size for one in each])))


def _concrete(form: Form, known: Known) -> Relation:
    if isinstance(known, Relation):
        return known
    if known is None or known.size == known.new_size:
        return Relation.identity(form.size)
    raise Rejection(f"CERT-11: a constant that follows an axis of {form.size} meets another axis")


def relate(role: Role, sites: Sequence[Site], operands: Sequence[Known]) -> Known:
    """The relation of an atom in the outputs of a call.

    Args:
        role: What the op asks of the atom.
        sites: Its occurrences, operands first.
        operands: The relation at each occurrence in an operand.

    Returns:
        That in every output; None where the atom reaches none.

    Raises:
        Rejection: The op does not allow this.
    """
    if role.kind == "unused" or all(known is None for known in operands):
        return None
    reaches = any(site.output for site in sites)
    concrete = [known for known in operands if isinstance(known, Relation)]
    if not concrete:
        return _relate_constants(role, operands, reaches)
    first = concrete[0]
    found = [_beside(first, known) for known in operands]
    if any(relation.new_size != first.new_size for relation in found):
        raise Rejection(f"CERT-11: an axis of {first.size} changes in some operands only")
    if role.kind in ("zero", "uniform"):
        return constant(first.size, first.new_size) if reaches else None
    if not role.ways:
        raise Rejection(f"CERT-11: an axis of {first.size} changes that is fixed here")
    inside = [site for site in sites if not site.output]
    if not reaches and role.maps == "any":
        _check_sum(role, inside, found)
        return None
    if all(relation.is_copied for relation in found) and _can_be_copied(role):
        return _copied(role, found)
    for way in role.ways:
        split = [k for k, polarity in enumerate(way[: len(inside)]) if polarity == "split"]
        if split and _agree(found, split):
            return found[split[0]]
    raise Rejection(f"CERT-11: parts of an axis of {first.size} meet where only whole units may")


def _relate_constants(role: Role, operands: Sequence[Known], reaches: bool) -> Known:
    uniform = next(known for known in operands if known is not None)
    if reaches and role.kind not in ("fixed", "stat", "sum", "norm"):
        return uniform
    raise Rejection(f"CERT-11: a constant follows an axis that is {role.kind} here")


def _beside(relation: Relation, known: Known) -> Relation:
    if known is None:
        return Relation.identity(relation.size)
    return known.like(relation) if isinstance(known, Uniform) else known


def _can_be_copied(role: Role) -> bool:
    return any("split" not in way for way in role.ways)


def _check_sum(role: Role, inside: Sequence[Site], found: Sequence[Relation]) -> None:
    """Checks that a sum over new positions is that over old units, for any numbers in the parts."""
    is_product = role.kind == "each"
    meets_itself = len({site.tensor for site in inside}) < len(inside)
    if meets_itself or (len(inside) > 1 and not is_product):
        raise Rejection("CERT-11: an axis changes that meets itself")
    takes = np.stack([relation.take for relation in found])
    counted = takes[:, ~(takes == ZERO).any(axis=0)]
    if (counted == FREE).any():
        raise Rejection("CERT-11: a free unit is summed")
    units = [relation.group[take] for relation, take in zip(found, counted, strict=True)]
    if any(not np.array_equal(units[0], each) for each in units[1:]):
        raise Rejection("CERT-11: parts of different units meet in a sum")
    parts = [np.bincount(relation.group, minlength=relation.size) for relation in found]
    is_once = np.unique(counted, axis=1).shape[1] == counted.shape[1]
    if not is_once or counted.shape[1] != np.prod(parts, axis=0).sum():
        raise Rejection("CERT-11: a sum counts a part twice, or leaves one out")


def _copied(role: Role, found: Sequence[Relation]) -> Relation:
    """The relation where every operand is copied: a unit is what it was, or free."""
    sources = np.stack([relation.source for relation in found])
    free = (sources == FREE).any(axis=0)
    if (sources[:, ~free] != sources[0, ~free]).any():
        raise Rejection("CERT-11: different units meet")
    source = np.where(free, FREE, sources[0])
    counts = np.bincount(source[~free], minlength=found[0].size)
    least, most = counts.min(initial=len(source)), counts.max(initial=0)
    accepted = {
        "any": True,
        "onto": least > 0 and not free.any(),
        "equal": least == most > 0 and not free.any(),
        "permutation": least == most == 1 and not free.any(),
        "identity": False,
    }
    if not accepted[role.maps]:
        raise Rejection(f"CERT-11: units are copied where the op is {role.kind}: {role.maps} maps")
    return Relation.of(found[0].size, source, np.arange(found[0].size))


def _agree(found: Sequence[Relation], split: Sequence[int]) -> bool:
    """Whether some operands have one relation, and the others hold for each part its unit."""
    first = found[split[0]]
    if any(found[k] != first for k in split):
        return False
    taken = first.take >= 0
    others = [relation for k, relation in enumerate(found) if k not in split]
    return all(
        relation.is_copied and np.array_equal(relation.source[taken], first.source[taken])
        for relation in others
    )
