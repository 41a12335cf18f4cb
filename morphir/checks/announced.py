"""What an inventory should say after a change of sizes, a removal or an injection.

KEPT-6   of a tensor whose axes change nothing else does but its numbers; of a module nothing but
         the attributes that follow; of an optimizer nothing but the shapes of what it keeps per
         element
KEPT-9   of a tensor that gets other numbers nothing else changes but these, and what an optimizer
         keeps of them; of a mask nothing but its numbers
KEPT-10  of a parameter that stops to learn the gradient goes, and its place in optimizers
SHALLOWER-4   what goes leaves its optimizer groups with its state, and all else is as it was
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import final

from morphir.checks.inventory import NUMBERS, Facts, Group, Inventory
from morphir.ir import AttributeChange, Certificate, is_inside
from morphir.ir.masks import mask_name


def announced(before: Inventory, certificate: Certificate) -> Inventory:
    """The inventory that was taken before, as a certificate says that it should be now.

    Args:
        before: Taken before anything was done.
        certificate: Of one step.
    """
    resized = _resized(before, _shapes(certificate), certificate.attributes)
    resized = _renumbered(resized, certificate)
    resized = _frozen(resized, [n for claim in certificate.insertions for n in claim.freezes])
    return _without(resized, [claim.module for claim in certificate.removals])


def _shapes(certificate: Certificate) -> Iterator[tuple[str, tuple[int, ...]]]:
    for claim in certificate.resizes:
        for name, axes in claim.tensors.items():
            yield name, tuple(axis.size if claim.inverse else axis.new_size for axis in axes)


def _resized(
    before: Inventory,
    new_shapes: Iterable[tuple[str, tuple[int, ...]]],
    attributes: Sequence[AttributeChange],
) -> Inventory:
    """What it should be after a change of sizes (KEPT-6); of what is new nothing is known."""
    found = [(n, s) for n, s in new_shapes if n in before.shared]
    shapes = {name: shape for first, shape in found for name in before.shared[first][0]}
    modules = {name: dict(facts) for name, facts in before.modules.items()}
    for each in attributes:
        new = each.new if isinstance(each.new, int) else ("tuple", *each.new)
        modules.get(each.module, {})[f"attribute {each.name}"] = new
    return replace(
        before,
        modules=modules,
        tensors={name: _tensor(facts, shapes.get(name)) for name, facts in before.tensors.items()},
        groups=tuple(_group(group, before, shapes) for group in before.groups),
    )


def _renumbered(before: Inventory, certificate: Certificate) -> Inventory:
    """What it should be with other numbers and masks (KEPT-9)."""

    def every(names: Iterable[str]) -> set[str]:
        return {other for n in names if n in before.shared for other in before.shared[n][0]}

    renumbered, restarted = every(certificate.renumbered), every(certificate.restarted)
    others = renumbered | every(map(mask_name, certificate.masked))
    shapes = {name: before.tensors[name]["shape"] for name in renumbered}
    groups = (_group(group, before, shapes) for group in before.groups)
    return replace(
        before,
        tensors={
            name: {key: fact for key, fact in facts.items() if key != "bits"}
            if name in others
            else facts
            for name, facts in before.tensors.items()
        },
        groups=tuple(
            (options, {name: _Any() if name in restarted else held[name] for name in held})
            for options, held in groups
        ),
    )


def _frozen(before: Inventory, parameters: Sequence[str]) -> Inventory:
    """What it should be where parameters have stopped to learn (KEPT-10)."""
    names = {n for each in parameters if each in before.shared for n in before.shared[each][0]}

    def stopped(facts: Facts) -> Facts:
        kept = {key: value for key, value in facts.items() if key != "bits of the gradient"}
        return {**kept, "requires_grad": False, "gradient": False}

    return replace(
        before,
        tensors={n: stopped(f) if n in names else f for n, f in before.tensors.items()},
        groups=tuple(
            (options, {n: state for n, state in held.items() if n not in names})
            for options, held in before.groups
        ),
    )


def _without(before: Inventory, removed: Sequence[str]) -> Inventory:
    """What it should be without some modules (SHALLOWER-4)."""
    # Where a module has several names, so has what was in it.
    homes = ((home, key) for home, _, key in (name.rpartition(".") for name in removed))
    places = [
        f"{place}.{key}".removeprefix(".")
        for home, key in homes
        for place in (home, *before.aliases.get(home, ()))
    ]

    def kept(names: Iterable[str]) -> list[str]:
        return [name for name in names if not is_inside(name, places)]

    aliases = {name: tuple(kept(before.aliases[name])) for name in kept(before.aliases)}
    shared = {
        name: (frozenset(kept(before.shared[name][0])), frozenset(kept(before.shared[name][1])))
        for name in kept(before.shared)
    }
    return Inventory(
        {name: before.modules[name] for name in kept(before.modules)},
        {name: others for name, others in aliases.items() if others},
        {name: before.tensors[name] for name in kept(before.tensors)},
        shared,
        tuple(kept(before.keys)),
        tuple((options, {n: held[n] for n in kept(held)}) for options, held in before.groups),
    )


def _tensor(facts: Facts, shape: object) -> Facts:
    if shape is None:
        return facts
    # Strides and numbers are others; whether they are right is a matter of the certificate.
    return {k: v for k, v in facts.items() if k not in NUMBERS} | {"shape": shape}


def _group(group: Group, before: Inventory, shapes: Mapping[str, object]) -> Group:
    options, held = group
    return options, {
        name: _state(state, before.tensors[name]["shape"], shapes[name])
        if name in shapes
        else state
        for name, state in held.items()
    }


def _state(state: object, old: object, new: object) -> object:
    """Of an entry with a number for each of the parameter's only the shape is known beforehand.

    A count of steps is none, although it has the shape of a scalar.
    """
    assert isinstance(state, tuple)
    return tuple((k, value if k == "step" else _entry(value, old, new)) for k, value in state)


def _entry(value: object, old: object, new: object) -> object:
    if isinstance(value, tuple) and len(value) > 2 and value[2] == old:
        return (*value[:2], new, *[_Any()] * (len(value) - 3))
    return value


@final
class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True
