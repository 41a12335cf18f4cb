"""Which `nn.Sequential` containers can take a new child between two others.

A new child shifts the numbers of those that follow, though not their keys. So wherever a class of
the model counts on the numbers, the new layer has to go elsewhere.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Final

from torch import nn

from morphir.frontend.syntax import aliases_in, class_trees, containers
from morphir.ir import Call, Graph

_ITSELF: Final = "self"
_ANY_NUMBER: Final = "0"  # the key of a Sequential in another one


def plain_sequentials(model: nn.Module, graphs: Iterable[Graph]) -> tuple[str, ...]:
    """Names the Sequentials that run their children in order and in no other way.

    One qualifies if it has Sequential's own forward, was called in a recording, every recorded call
    of a child happened inside a call of it, and no class in the model indexes, slices, counts or
    iterates over what it is called: `self.layers[0]` in the class that holds it, and
    `encoder.layers[0]` in any.
    """
    called: set[str] = set()
    bypassed: set[str] = set()
    for graph in graphs:
        for path, item in graph.walk():
            if isinstance(item, Call):
                called.add(item.module)
                parent = item.module.rpartition(".")[0]
                if (path[-1].module if path else "") != parent:
                    bypassed.add(parent)
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Sequential)
        and type(module).forward is nn.Sequential.forward
        and "forward" not in vars(module)
        and (name == "" or name in called)
        and name not in bypassed
    ]
    if not names:  # to find classes in large files takes long
        return ()
    reached = {attribute for kind in {*map(type, model.modules())} for attribute in _reached(kind)}
    return tuple(name for name in names if not _is_counted_on(model, name, reached))


def _is_counted_on(model: nn.Module, name: str, reached: set[str]) -> bool:
    if _ITSELF in _own(type(model.get_submodule(name))):  # type: ignore[arg-type]
        return True
    owner, _, attribute = name.rpartition(".")
    held = name and attribute in _own(type(model.get_submodule(owner)))  # type: ignore[arg-type]
    return bool(held) or (_ANY_NUMBER if attribute.isdigit() else attribute) in reached


@cache
def _own(kind: type) -> frozenset[str]:
    """Attributes `a` whose children a class, or a base of it, tells apart as in `self.a[...]`."""
    return frozenset(attribute for attribute, is_own in _counted(kind) if is_own)


@cache
def _reached(kind: type) -> frozenset[str]:
    """The same for attributes of others, as in `self.b.a[...]` and `model.a[...]`."""
    return frozenset(attribute for attribute, is_own in _counted(kind) if not is_own)


@cache
def _counted(kind: type) -> frozenset[tuple[str, bool]]:
    found: set[tuple[str, bool]] = set()
    for tree in class_trees(kind):
        aliases = aliases_in(tree)
        for node in ast.walk(tree):
            for container in containers(node):
                name = container.id if isinstance(container, ast.Name) else ""
                found |= {*_attribute(aliases.get(name, container))}
    return frozenset(found)


def _attribute(container: ast.expr) -> Iterator[tuple[str, bool]]:
    """What an expression is called by its holder, and whether that is `self`."""
    match container:
        case ast.Name(id="self"):
            yield _ITSELF, True
        case ast.Attribute(value=ast.Name(id="self"), attr=attribute):
            yield attribute, True
        case ast.Attribute(attr=attribute):
            yield attribute, False
        case ast.Subscript(value=ast.Attribute()):  # self.blocks[i][0]
            yield _ANY_NUMBER, False
