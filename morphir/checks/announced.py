"""What an inventory should say after a change of sizes that was announced.

KEPT-6   of a tensor whose axes change nothing else does but its numbers; of a module nothing but
         the attributes that follow; of an optimizer nothing but the shapes of what it keeps per
         element
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import final

from morphir.checks.inventory import Facts, Group, Inventory
from morphir.ir import AttributeChange


def expected(
    before: Inventory,
    shapes: Mapping[str, tuple[int, ...]],
    attributes: Sequence[AttributeChange],
) -> Inventory:
    """The inventory that was taken before, as it should be now (KEPT-6).

    Args:
        before: Taken before anything was done.
        shapes: State entry to the shape that it has now, for those that changed.
        attributes: What followed.
    """
    shapes = {n: shape for first, shape in shapes.items() for n in before.shared[first][0]}
    modules = {name: dict(facts) for name, facts in before.modules.items()}
    for each in attributes:
        new = each.new if isinstance(each.new, int) else ("tuple", *each.new)
        modules[each.module][f"attribute {each.name}"] = new
    return replace(
        before,
        modules=modules,
        tensors={name: _tensor(facts, shapes.get(name)) for name, facts in before.tensors.items()},
        groups=tuple(_group(group, before, shapes) for group in before.groups),
    )


def _tensor(facts: Facts, shape: tuple[int, ...] | None) -> Facts:
    if shape is None:
        return facts
    # Strides and numbers are others; whether they are right is a matter of the certificate.
    return {k: v for k, v in facts.items() if k not in ("strides", "bits")} | {"shape": shape}


def _group(group: Group, before: Inventory, shapes: Mapping[str, tuple[int, ...]]) -> Group:
    options, held = group
    return options, {
        name: _state(state, before.tensors[name]["shape"], shapes[name])
        if name in shapes
        else state
        for name, state in held.items()
    }


def _state(state: object, old: object, new: tuple[int, ...]) -> object:
    """Of an entry with a number for each of the parameter's only the shape is known beforehand."""
    assert isinstance(state, tuple)
    return tuple((key, _entry(value, old, new)) for key, value in state)


def _entry(value: object, old: object, new: tuple[int, ...]) -> object:
    if isinstance(value, tuple) and len(value) > 2 and value[2] == old:
        return (*value[:2], new, *[_Any()] * (len(value) - 3))
    return value


@final
class _Any:
    """Equals everything."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0
