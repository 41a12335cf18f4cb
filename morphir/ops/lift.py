"""Lifts the maps of atoms to tensors and to the arguments of a call.

AXIS-8   a map of a sum concatenates the maps of its terms; a map of a product maps every factor
         by itself, in mixed radix
AXIS-9   a fresh position of a split atom holds 0; a fresh position of a copied atom may hold
         anything, where no split atom is fresh as well
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

import torch

from morphir.ir.axis_map import AxisMap, Polarity
from morphir.ops.axes import Layout, Way, all_copied
from morphir.ops.forms import Atom, Axes, Form, Product, parts_of
from morphir.ops.paths import Path, put_path

AtomMaps = Mapping[Atom, AxisMap]
Polarities = Sequence[Sequence[Polarity]]  # for each dimension, of each atom of its form
Apply = Callable[[AxisMap, torch.Tensor, int, Polarity], torch.Tensor]


def map_tensor(
    tensor: torch.Tensor,
    axes: Axes,
    maps: AtomMaps,
    polarities: Polarities,
    apply: Apply = AxisMap.apply,
) -> torch.Tensor:
    """Maps a tensor along all of its axes (AXIS-8).

    Args:
        tensor: The tensor.
        axes: The form of each of its dimensions.
        maps: The atoms that change.
        polarities: For each dimension the polarity of each atom of its form, from left to right.
        apply: How one map acts along one axis.
    """
    for axis, form in enumerate(axes):
        tensor = _map_form(tensor, axis, form, maps, iter(polarities[axis]), apply)
    return tensor


def _map_form(
    tensor: torch.Tensor,
    axis: int,
    form: Form,
    maps: AtomMaps,
    polarities: Iterator[Polarity],
    apply: Apply,
) -> torch.Tensor:
    parts = parts_of(form)
    sizes = [part.size for part in parts]
    if isinstance(form, Atom):
        polarity = next(polarities)
        return apply(maps[form], tensor, axis, polarity) if form in maps else tensor
    if isinstance(form, Product):
        tensor = tensor.reshape(*tensor.shape[:axis], *sizes, *tensor.shape[axis + 1 :])
        for k, factor in enumerate(parts):
            tensor = _map_form(tensor, axis + k, factor, maps, polarities, apply)
        return tensor.flatten(axis, axis + len(parts) - 1)
    mapped = [
        _map_form(piece, axis, term, maps, polarities, apply)
        for piece, term in zip(torch.split(tensor, sizes, axis), parts, strict=True)
    ]
    return torch.cat(mapped, axis)


def determined(
    shape: Sequence[int], axes: Axes, maps: AtomMaps, polarities: Polarities
) -> torch.Tensor:
    """Where a mapped tensor of a shape is determined (AXIS-9)."""

    def fresh(fresh_polarity: Polarity) -> torch.Tensor:
        def apply(
            axis_map: AxisMap, t: torch.Tensor, axis: int, polarity: Polarity
        ) -> torch.Tensor:
            if polarity == fresh_polarity:
                return axis_map.apply(t, axis, "copy")
            return t.index_select(axis, torch.tensor([max(i, 0) for i in axis_map.source]))

        return map_tensor(torch.ones(tuple(shape)), axes, maps, polarities, apply) == 0

    return ~fresh("copy") | fresh("split")


def polarities_of(
    layout: Layout, ways: Mapping[Atom, Way]
) -> tuple[list[Polarities], list[Polarities]]:
    """The polarity of every occurrence in the operands and in the outputs.

    Atoms without a way don't change, and count as copied.
    """
    found: tuple[list[list[list[Polarity]]], ...] = tuple(
        [[[] for _ in axes] for axes in tensors] for tensors in (layout.operands, layout.outputs)
    )
    sites = [
        (site, polarity)
        for atom, occurrences in layout.sites.items()
        for site, polarity in zip(
            occurrences, ways.get(atom) or all_copied(occurrences), strict=True
        )
    ]
    for site, polarity in sorted(sites, key=lambda pair: pair[0].position):
        found[site.output][site.tensor][site.axis].append(polarity)
    operands, outputs = found
    return [*operands], [*outputs]


def new_size(form: Form, maps: AtomMaps) -> int:
    """The size of a form after its atoms are mapped."""
    if isinstance(form, Atom):
        return len(maps[form].source) if form in maps else form.size
    sizes = [new_size(part, maps) for part in parts_of(form)]
    return prod(sizes) if isinstance(form, Product) else sum(sizes)


def new_arguments(arguments: Mapping[str, Any], layout: Layout, maps: AtomMaps) -> dict[str, Any]:
    """The arguments of a call with every number that follows an axis brought up to its new size.

    Raises:
        ValueError: Two rules ask for different numbers in one place, or forms that are tied get
            unequal sizes.
    """
    changed = dict(arguments)
    given: dict[Path, int] = {}
    for rule in layout.sizes:
        number = rule.sign * new_size(rule.form, maps)
        if given.setdefault(rule.path, number) != number:
            raise ValueError(f"{rule.path} would have to be {given[rule.path]} and {number}")
        changed = put_path(changed, rule.path, number)
    for tied in layout.ties:
        sizes = {new_size(form, maps) for form in tied}
        if len(sizes) > 1:
            raise ValueError(f"parts that must stay equal get the sizes {sorted(sizes)}")
    return changed
