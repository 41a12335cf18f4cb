"""What an op does to relations: the relation of its results from those of its operands.

    CERT-11  if the operands of a call are related to those of the old call, atom by atom, as its
             layout allows (AXIS-4, AXIS-11), then its results are related to the old ones

The rules are those of `morphir.ops.axes`, for whole relations instead of single maps: an atom of
one op may be heads that are copied and a width that is split at once. Where a proof needs more than
"the same on both sides", it is a count:

    a sum of products   sum_j x'[j] y'[j] = sum_i x[i] y[i]  if every position takes a pair of parts
                        of one unit, and every such pair is taken exactly once
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

from morphir.checks.rejection import Rejection
from morphir.checks.uniform import Uniform
from morphir.ir.relation import FREE, ZERO, Relation
from morphir.ops.axes import Role, Site, Way
from morphir.ops.forms import Form, Product, Sum, parts_of

Known = Relation | Uniform | None  # None is the identity


def constant(size: int, new_size: int) -> Uniform | None:
    """The relation of an axis along which nothing varies."""
    return None if size == new_size else Uniform.constant(size, new_size)


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
    else:
        sizes, new_sizes = ([part.size for part in side] for side in (parts, new_parts))
        each = (_factors if isinstance(form, Product) else _terms)(known, sizes, new_sizes)
    if each is None:
        raise Rejection(f"CERT-11: an axis that is {form} changes across its parts")
    both = zip(parts, new_parts, each, strict=True)
    return [found for part, after, one in both for found in decompose(part, after, one)]


def _factors(
    known: Relation | Uniform, sizes: Sequence[int], new_sizes: Sequence[int]
) -> Sequence[Known] | None:
    if isinstance(known, Relation):
        return known.factors(sizes, new_sizes)
    both = [*zip(sizes, new_sizes, strict=True)]
    if known.is_constant:
        return [Uniform.constant(size, new) for size, new in both]
    each = [constant(size, new) for size, new in both]
    whole = Uniform.product([_kinds(one, size) for one, size in zip(each, sizes, strict=True)])
    same = (whole.size, whole.new_size) == (known.size, known.new_size)
    return each if same and known.is_told_by(whole) else None


def _terms(
    known: Relation | Uniform, sizes: Sequence[int], new_sizes: Sequence[int]
) -> Sequence[Known] | None:
    if isinstance(known, Relation):
        return known.terms(sizes, new_sizes)
    ends, new_ends = accumulate(sizes), accumulate(new_sizes)
    return [
        Uniform(known.was[end - size : end], known.now[new_end - new : new_end])
        for size, new, end, new_end in zip(sizes, new_sizes, ends, new_ends, strict=True)
    ]


def _kinds(known: Uniform | None, size: int) -> Uniform:
    return Uniform.identity(size) if known is None else known


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
    kinds = [
        _kinds(one, part.size)
        for one, part in zip(each, parts, strict=True)
        if not isinstance(one, Relation)
    ]
    if len(kinds) == len(parts):
        return (Uniform.sum if isinstance(form, Sum) else Uniform.product)(kinds)
    found = [_concrete(part, one) for part, one in zip(parts, each, strict=True)]
    return (Relation.sum if isinstance(form, Sum) else Relation.product)(found)


def _concrete(form: Form, known: Known) -> Relation:
    if isinstance(known, Relation):
        return known
    if known is None or known.was == known.now:
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
    uniform = [known for known in operands if not isinstance(known, Relation)]
    if len(uniform) == len(operands):
        return _relate_constants(role, uniform, reaches)
    first = concrete[0]
    found = [_beside(first, known) for known in operands]
    if any(relation.new_size != first.new_size for relation in found):
        raise Rejection(f"CERT-11: an axis of {first.size} changes in some operands only")
    if role.kind in ("zero", "uniform"):
        return constant(first.size, first.new_size) if reaches else None
    if not role.ways:
        raise Rejection(f"CERT-11: an axis of {first.size} changes that is fixed here")
    # An atom twice in one operand is two sums, or a diagonal: no parts meet there one by one.
    apart = len({site.tensor for site in sites}) == len(sites)
    if not reaches and apart and _is_counted(role.ways, found):
        return None
    for way in role.ways:
        outcome = _in_way(role, way, found)
        if outcome is not None:
            return outcome if reaches else None
    raise Rejection(f"CERT-11: parts of an axis of {first.size} meet where only whole units may")


def _is_counted(ways: Sequence[Way], found: Sequence[Relation]) -> bool:
    """Whether units are only summed, and so only counted: parts of one may meet parts of another.

    Raises:
        Rejection: They are, and the count is wrong.
    """
    sums = _sums(ways, found)
    for each in sums:
        _check_sum(each)
    return bool(sums)


def _sums(ways: Sequence[Way], found: Sequence[Relation]) -> list[Sequence[Relation]]:
    """What is multiplied and summed by an op that is linear in each operand; none if it is not.

    Either all operands are one product, so that any of them may be the one that is split; or some
    of them are multiplied with the others, as a state is with the weights of both directions: then
    each of these pairs is.
    """
    count = len(found)
    if {*ways} == {
        tuple("split" if k == j else "copy" for k in range(count)) for j in range(count)
    }:
        return [found]
    if len(ways) != 2 or any(one == other for one, other in zip(*ways, strict=True)):
        return []
    split = [one for one, of in zip(found, ways[0], strict=True) if of == "split"]
    copied = [one for one, of in zip(found, ways[0], strict=True) if of == "copy"]
    return [[one, other] for one in split for other in copied]


def _in_way(role: Role, way: Way, found: Sequence[Relation]) -> Relation | None:
    """The relation of the outputs in one way of an op; where there are none, any relation.

    Raises:
        Rejection: In this way the op would not accept how units are copied.
    """
    polarities = way[: len(found)]
    split = [one for one, polarity in zip(found, polarities, strict=True) if polarity == "split"]
    copied = [one for one, polarity in zip(found, polarities, strict=True) if polarity == "copy"]
    if not all(relation.is_copied for relation in copied):
        return None
    if "split" in way[len(found) :]:
        return _split(split, copied)
    if not copied or any(relation.take.shape != copied[0].take.shape for relation in split):
        return None
    whole = _copied(role, copied)
    return whole if all(_is_sum([whole, part]) for part in split) else None


def _relate_constants(role: Role, operands: Sequence[Uniform | None], reaches: bool) -> Known:
    if reaches and role.kind not in ("fixed", "stat", "sum", "norm"):
        size = next(known.size for known in operands if known is not None)
        return Uniform.meeting([_kinds(known, size) for known in operands])
    raise Rejection(f"CERT-11: a constant follows an axis that is {role.kind} here")


def _beside(relation: Relation, known: Known) -> Relation:
    if known is None:
        return Relation.identity(relation.size)
    return known.like(relation) if isinstance(known, Uniform) else known


def _check_sum(found: Sequence[Relation]) -> None:
    if not _is_sum(found):
        raise Rejection("CERT-11: a sum counts a part twice, or leaves one out")


def _is_sum(found: Sequence[Relation]) -> bool:
    """Whether a sum over new positions is that over old units, for any numbers in the parts."""
    takes = np.stack([relation.take for relation in found])
    counted = takes[:, ~(takes == ZERO).any(axis=0)]
    if (counted == FREE).any():
        return False
    units = [relation.group[take] for relation, take in zip(found, counted, strict=True)]
    if any(not np.array_equal(units[0], each) for each in units[1:]):
        return False
    parts = [np.bincount(relation.group, minlength=relation.size) for relation in found]
    is_once = np.unique(counted, axis=1).shape[1] == counted.shape[1]
    return bool(is_once and counted.shape[1] == np.prod(parts, axis=0).sum())


def _copied(role: Role, found: Sequence[Relation]) -> Relation:
    """The relation where every operand is copied: a unit is what it was, or free."""
    sources = np.stack([relation.source for relation in found])
    free = (sources == FREE).any(axis=0)
    if (sources[:, ~free] != sources[0, ~free]).any():
        raise Rejection("CERT-11: different units meet")
    source = np.where(free, FREE, sources[0])
    counts = {*np.bincount(source[~free], minlength=found[0].size).tolist()}
    is_onto = 0 not in counts and not free.any()
    accepted = {
        "any": True,
        "onto": is_onto,
        "equal": is_onto and len(counts) == 1,
        "permutation": is_onto and counts == {1},
    }
    if not accepted[role.maps]:
        raise Rejection(f"CERT-11: units are copied where the op is {role.kind}: {role.maps} maps")
    return Relation.of(found[0].size, source, np.arange(found[0].size))


def _split(split: Sequence[Relation], copied: Sequence[Relation]) -> Relation | None:
    """The one relation of what is split, if all else holds for each part its unit."""
    first = split[0]
    taken = first.take >= 0
    is_one = all(relation == first for relation in split)
    is_met = all(np.array_equal(each.source[taken], first.source[taken]) for each in copied)
    return first if is_one and is_met else None
