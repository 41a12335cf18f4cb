"""Checks what a declaration claims by running it.

`check_op(op, table, seed)` is what the contract test runs over every declaration, and what an
author of a new one runs over it. The claims about axes (AXIS-4) are checked here, those about
facts in `check_facts`, those about spellings in `check_spellings`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Any, Final

import torch

from morphir.ir.axis_map import FRESH, AxisMap
from morphir.ops.axes import Layout, Role, Way
from morphir.ops.base import Op, Sample
from morphir.ops.check_facts import check_bounds, check_identity, check_zero
from morphir.ops.check_spellings import check_spellings
from morphir.ops.fitting import at_sizes, fitted
from morphir.ops.forms import Atom, atoms_in
from morphir.ops.lift import determined, map_tensor, new_arguments, polarities_of
from morphir.ops.paths import put_path, tensors_of
from morphir.ops.table import OpTable
from morphir.ops.verdict import ContractError, close, results_of

_SHARES: Final = (Fraction(-1, 4), Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), Fraction(5, 4))


def check_op(op: Op, table: OpTable, seed: int, trials: int = 12) -> None:
    """Checks everything that a declaration claims, on its own samples (OPS-1, OPS-2).

    Raises:
        ContractError: A claim does not hold; the message says which, and on what call.
    """
    numbers = random.Random(seed)
    samples = list(op.samples(numbers))
    if not samples:
        raise ContractError(op, {}, "it has no samples")
    with torch.random.fork_rng(devices=[]):
        for sample in samples:
            check_axes(op, sample, numbers, trials)
            check_bounds(op, sample)
            check_identity(op, sample)
            check_zero(op, sample)
        check_spellings(op, samples, table)


def check_axes(op: Op, sample: Sample, numbers: random.Random, trials: int) -> None:
    """AXIS-4: what the layout admits commutes with the op; one atom at a time, then several.

    AXIS-11: it does so too where an atom has one unit.
    """
    layout = op.layout(sample.arguments, results_of(op, sample.arguments))
    check_layout(op, sample.arguments, layout, numbers, trials)
    for atom in _free(layout):
        if atom.size > 1 and layout.roles[atom].maps != "permutation":
            found = _with_one(op, sample.arguments, layout, atom)
            if found is not None:
                check_layout(op, *found, numbers, trials=2)


def check_layout(
    op: Op, arguments: Mapping[str, Any], layout: Layout, numbers: random.Random, trials: int
) -> None:
    """AXIS-4 for one call and a layout of it."""
    outputs = results_of(op, arguments)
    free = _free(layout)
    for trial in range(trials if free else 0):
        chosen = free if trial % 2 else [free[trial // 2 % len(free)]]
        chosen = [atom for atom in chosen if len(chosen) == 1 or numbers.random() < 0.7]
        sizes = tied_sizes(layout, chosen, numbers)
        ways = {a: numbers.choice(layout.roles[a].ways) for a in dict.fromkeys([*chosen, *sizes])}
        maps = {
            atom: draw_map(atom.size, layout.roles[atom], way, numbers, sizes.get(atom))
            for atom, way in ways.items()
        }
        _check_maps(op, arguments, outputs, layout, maps, ways)


def _free(layout: Layout) -> list[Atom]:
    return [atom for atom, role in layout.roles.items() if role.ways]


def _with_one(
    op: Op, arguments: Mapping[str, Any], layout: Layout, atom: Atom
) -> tuple[Mapping[str, Any], Layout] | None:
    """The same call with one unit of an atom, and the layout there; None where that is no call."""
    complete = op.complete(arguments)
    together = [a for tied in layout.ties if atom in tied for a in tied if isinstance(a, Atom)]
    maps = {a: AxisMap.copies(a.size, (0,)) for a in {atom, *together}}
    operands = [found for name, a in complete.items() for found in tensors_of(a, (name,))]
    polarities, _ = polarities_of(layout, {})
    try:
        changed = new_arguments(complete, layout, maps)
        for (path, tensor), axes, read in zip(operands, layout.operands, polarities, strict=True):
            changed = put_path(changed, path, map_tensor(tensor, axes, maps, read))
        results = results_of(op, changed)
        shapes = [tuple(t.shape) for name, a in changed.items() for _, t in tensors_of(a, (name,))]
        there = fitted(layout, shapes, [tuple(each.shape) for each in results], changed)
    except (RuntimeError, ValueError, IndexError, TypeError):
        return None
    return changed, at_sizes(layout, there)


def tied_sizes(layout: Layout, chosen: Sequence[Atom], numbers: random.Random) -> dict[Atom, int]:
    """New sizes for the atoms of forms that must stay of equal size, where one of them is chosen.

    In a product one atom takes part, and what it is multiplied with keeps its size.
    """
    sizes: dict[Atom, int] = {}
    for tied in layout.ties:
        free = [next((a for a in atoms_in(f) if layout.roles[a].ways), None) for f in tied]
        atoms = [atom for atom in free if atom is not None]
        if set(chosen).isdisjoint(atoms) or len(atoms) < len(tied):
            continue
        blocks = [form.size // atom.size for form, atom in zip(tied, atoms, strict=True)]
        size = tied[0].size
        equal = any(layout.roles[atom].maps == "equal" for atom in atoms)
        size += numbers.randrange(3) * (size if equal else lcm(*blocks))
        sizes.update({atom: size // block for atom, block in zip(atoms, blocks, strict=True)})
    return sizes


def draw_map(
    size: int, role: Role, way: Way, numbers: random.Random, new_size: int | None = None
) -> AxisMap:
    """Draws a map that a role accepts in a way, of a given new size where there is one."""
    everyone = list(range(size))
    extra = numbers.randint(0, size) if new_size is None else new_size - size
    if role.maps == "permutation":
        source = everyone
    elif role.maps == "equal":
        source = everyone * (numbers.randint(1, 3) if new_size is None else new_size // size)
    elif role.maps == "any" and "split" not in way and new_size is None:
        source = [numbers.randrange(size) for _ in range(numbers.randint(1, 2 * size))]
    else:
        source = everyone + [numbers.randrange(size) for _ in range(extra)]
    if role.maps == "any" and new_size is None and numbers.random() < 0.5:
        source = [*source, FRESH]
    numbers.shuffle(source)
    axis_map = AxisMap(size, tuple(source), draw_shares(source, numbers))
    if not role.accepts(axis_map, way):
        raise AssertionError(f"drew {axis_map}, which {role} does not accept")
    return axis_map


def draw_shares(source: Sequence[int], numbers: random.Random) -> tuple[Fraction, ...]:
    """Unequal shares, negative ones among them, that sum to 1 for every old unit (AXIS-1)."""
    shares = [Fraction(0)] * len(source)
    for unit in {*source} - {FRESH}:
        places = [place for place, found in enumerate(source) if found == unit]
        rest = Fraction(1)
        for place in places[:-1]:
            shares[place] = numbers.choice(_SHARES)
            rest -= shares[place]
        shares[places[-1]] = rest
    return tuple(shares)


def _check_maps(
    op: Op,
    arguments: Mapping[str, Any],
    outputs: Sequence[torch.Tensor],
    layout: Layout,
    maps: Mapping[Atom, AxisMap],
    ways: Mapping[Atom, Way],
) -> None:
    complete = op.complete(arguments)
    operands = [found for name, a in complete.items() for found in tensors_of(a, (name,))]
    polarities, expected_polarities = polarities_of(layout, ways)
    changed = new_arguments(complete, layout, maps)
    for (path, tensor), axes, read in zip(operands, layout.operands, polarities, strict=True):
        mapped = map_tensor(tensor, axes, maps, read)
        known = determined(tensor.shape, axes, maps, read)
        changed = put_path(changed, path, _fill(mapped, known))
    story = ", ".join(f"{atom} by {m.source} as {'/'.join(ways[atom])}" for atom, m in maps.items())
    try:
        results = results_of(op, changed)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        raise ContractError(op, arguments, f"AXIS-4: {layout}; {story}: {error}") from error
    for result, before, axes, read in zip(
        results, outputs, layout.outputs, expected_polarities, strict=True
    ):
        expected = map_tensor(before, axes, maps, read)
        known = determined(before.shape, axes, maps, read)
        same = result.shape == expected.shape and close(
            result[known], expected[known], [tensor for _, tensor in operands]
        )
        if not same:
            raise ContractError(op, arguments, f"AXIS-4: {layout}; {story}: the outputs differ")


def _fill(tensor: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Puts arbitrary numbers where a mapped operand is not determined (AXIS-9)."""
    if not tensor.is_floating_point():
        return tensor
    generator = torch.Generator().manual_seed(tensor.numel())
    noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    return torch.where(known, tensor, noise)
