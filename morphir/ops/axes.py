"""Layouts: how axes flow through one concrete call of an op.

A `Layout` gives every dimension of every tensor of a call its form, and every atom its `Role`:
which axis maps it accepts, and in which *ways* its occurrences may be read (copy or split, see
`morphir.ir.axis_map`). Planner, certificate checker and contract test all read layouts.

    AXIS-4   if every atom of a call is changed by a map that its role accepts, in one of its ways,
             then the op of the mapped operands is the mapped output; atoms change independently of
             one another, but for sizes (`Layout.sizes`, `Layout.ties`)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product as combinations
from typing import Final, Literal, final

from morphir.ir.axis_map import FRESH, AxisMap, Polarity
from morphir.ops.forms import Atom, Axes, Form, atoms_in, factors_in
from morphir.ops.paths import Path, show_path

Way = tuple[Polarity, ...]  # a polarity for each occurrence of an atom, in the order of its sites
Maps = Literal["any", "onto", "equal", "permutation", "identity"]
Kind = Literal[
    "fixed", "map", "lin", "each", "stat", "extremum", "norm", "sum", "uniform", "zero", "unused"
]
Dimension = tuple[int, int]  # an operand, and one of its axes
Contraction = tuple[frozenset[Dimension], ...]
# A set of operands: these and the outputs may be split together. A contraction lists the dimensions
# that are split, in each of its ways; all others are copied.
Flow = Kind | frozenset[int] | Contraction

_BOTH: Final[Way] = ("copy", "split")
_COPY: Final[Way] = ("copy",)
_MAPS: Final[Mapping[Flow, Maps]] = {
    "fixed": "identity",
    "stat": "equal",
    "extremum": "onto",
    "norm": "permutation",
}


@final
@dataclass(frozen=True, slots=True)
class Site:
    """One occurrence of an atom.

    Attributes:
        output: Whether `tensor` counts the outputs, not the operands.
        tensor: Which operand or output.
        axis: Which of its dimensions.
        position: Which atom of that dimension's form, from left to right.
    """

    output: bool
    tensor: int
    axis: int
    position: int


@final
@dataclass(frozen=True, slots=True)
class Role:
    """What an op asks of one atom.

    Attributes:
        kind: How the role came about, for messages.
        maps: The maps it accepts: any, each old unit at least once (`onto`), each equally often
            (`equal`), permutations, or none but the identity.
        ways: The polarities in which its occurrences may be read together.
    """

    kind: str
    maps: Maps
    ways: tuple[Way, ...]

    def accepts(self, axis_map: AxisMap, way: Way) -> bool:
        """Whether a map may change the atom in this way.

        A split drops no unit whatever the role, as its parts must sum to it.
        """
        if axis_map.is_identity:
            return True
        counts = [0] * axis_map.size
        for unit in axis_map.source:
            if unit != FRESH:
                counts[unit] += 1
        fresh = FRESH in axis_map.source
        fewest, most = min(counts, default=1), max(counts, default=1)
        accepted = {
            "any": "split" not in way or fewest > 0,
            "onto": fewest > 0 and not fresh,
            "equal": fewest == most > 0 and not fresh,
            "permutation": fewest == most == 1 and not fresh,
            "identity": False,
        }
        return accepted[self.maps] and way in self.ways


@final
@dataclass(frozen=True, slots=True)
class SizeRule:
    """An integer argument that must follow an axis: `arguments[path] == sign * form.size`."""

    path: Path
    form: Form
    sign: Literal[1, -1] = 1


@final
@dataclass(frozen=True)
class Layout:
    """How axes flow through one concrete call.

    An argument that the call changes in place has the same axes afterwards as before.

    Attributes:
        operands: The axes of each tensor among the arguments, in the order of the op's parameters.
        outputs: The axes of each tensor returned.
        roles: What is asked of each atom.
        sizes: The integer arguments that must follow.
        ties: Forms that must stay of equal size, as `chunk` cuts equal parts.
    """

    operands: tuple[Axes, ...]
    outputs: tuple[Axes, ...]
    roles: Mapping[Atom, Role]
    sizes: tuple[SizeRule, ...] = ()
    ties: tuple[tuple[Form, ...], ...] = ()

    @cached_property
    def sites(self) -> Mapping[Atom, tuple[Site, ...]]:
        """Every occurrence of every atom: operands first, then outputs."""
        return _sites(self.operands, self.outputs)

    def __str__(self) -> str:
        operands, outputs = (
            ", ".join("[" + ", ".join(map(str, axes)) + "]" for axes in tensors)
            for tensors in (self.operands, self.outputs)
        )
        flags = [f"{role.kind} {atom.name}" for atom, role in self.roles.items()]
        flags += [f"{show_path(r.path)} = {'-' * (r.sign < 0)}{r.form}" for r in self.sizes]
        flags += [" = ".join(f"|{form}|" for form in tied) for tied in self.ties]
        return f"{operands} -> {outputs} | {'; '.join(flags)}"


def _sites(operands: tuple[Axes, ...], outputs: tuple[Axes, ...]) -> dict[Atom, tuple[Site, ...]]:
    found: dict[Atom, list[Site]] = {}
    for output, tensors in ((False, operands), (True, outputs)):
        for tensor, axes in enumerate(tensors):
            for axis, form in enumerate(axes):
                for position, atom in enumerate(atoms_in(form)):
                    found.setdefault(atom, []).append(Site(output, tensor, axis, position))
    return {atom: tuple(sites) for atom, sites in found.items()}


def make_layout(
    operands: Iterable[Axes],
    outputs: Iterable[Axes],
    flows: Mapping[Atom, Flow] | None = None,
    sizes: Iterable[SizeRule] = (),
    ties: Iterable[tuple[Form, ...]] = (),
) -> Layout:
    """Makes a layout; the role of an atom that `flows` does not name is inferred as in einsum.

    AXIS-5   an atom in an operand and an output is a map; in several operands and no output a
             contraction; in one operand only, or in outputs only, it is fixed
    AXIS-6   a factor of size 1 in a product is fixed, and so is a size-1 axis that was broadcast
    AXIS-7   a contraction has one side split and the others copied
    """
    ins, outs = tuple(operands), tuple(outputs)
    given = flows or {}
    factors = {atom for axes in (*ins, *outs) for form in axes for atom in factors_in(form)}
    sites = _sites(ins, outs)
    roles = {}
    for atom, found in sites.items():
        stuck = atom.size == 0 or (atom.size == 1 and atom in factors)
        flow = "fixed" if stuck else given.get(atom) or _infer(found)
        ways = _ways(flow, found)
        kind = flow if isinstance(flow, str) else "lin" if isinstance(flow, frozenset) else "each"
        roles[atom] = Role(kind, _MAPS.get(flow, "any") if ways else "identity", ways)
    return Layout(ins, outs, roles, tuple(sizes), tuple(ties))


def linear_layout(
    operands: Iterable[Axes],
    outputs: Iterable[Axes],
    flows: Mapping[Atom, Flow] | None = None,
    sizes: Iterable[SizeRule] = (),
    ties: Iterable[tuple[Form, ...]] = (),
) -> Layout:
    """The layout of data movement: every polarity passes along what reaches an output."""
    ins, outs = tuple(operands), tuple(outputs)
    inside, outside = (
        {atom for axes in tensors for form in axes for atom in atoms_in(form)}
        for tensors in (ins, outs)
    )
    linear: dict[Atom, Flow] = dict.fromkeys(inside & outside, "lin")
    return make_layout(ins, outs, linear | dict(flows or {}), sizes, ties)


def _infer(sites: tuple[Site, ...]) -> Kind:
    inside = {site.tensor for site in sites if not site.output}
    if any(site.output for site in sites):
        return "map" if inside else "fixed"
    return "each" if len(inside) > 1 else "fixed"


def _ways(flow: Flow, sites: tuple[Site, ...]) -> tuple[Way, ...]:
    """Lists the ways of a flow.

    `lin` is all copied or all split; `each` is linear in every operand, so any one of them may be
    split; `uniform` reads no number of its operands, `zero` holds for splits too; what is `unused`
    may be anything.
    """
    inside = [site.tensor for site in sites if not site.output]
    match flow:
        case "fixed":
            return ()
        case "zero" | "unused":
            return tuple(combinations(*[_BOTH] * len(sites)))
        case "uniform":
            return tuple(combinations(*[_COPY if site.output else _BOTH for site in sites]))
        case "lin":
            return _split_ways([frozenset(inside)], sites)
        case "each" | "sum":
            # An atom twice in one operand is a diagonal, where every copy would meet every other.
            diagonal = len(set(inside)) < len(inside)
            return () if diagonal else _split_ways([frozenset([i]) for i in inside], sites)
        case frozenset():
            return _split_ways([flow], sites)
        case tuple():
            return tuple(
                tuple(
                    "split" if not site.output and (site.tensor, site.axis) in split else "copy"
                    for site in sites
                )
                for split in flow
            )
        case _:
            return (all_copied(sites),)


def all_copied(sites: tuple[Site, ...]) -> Way:
    """The way in which every occurrence is copied."""
    return _COPY * len(sites)


def _split_ways(groups: Iterable[frozenset[int]], sites: tuple[Site, ...]) -> tuple[Way, ...]:
    """All copied where it reaches an output; then each group of operands split with the outputs."""
    reaches = any(site.output for site in sites)
    ways: list[Way] = [all_copied(sites)] if reaches else []
    ways += [
        tuple("split" if site.output or site.tensor in group else "copy" for site in sites)
        for group in groups
    ]
    return tuple(dict.fromkeys(ways))
