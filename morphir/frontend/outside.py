"""What the rest of a model does with a submodule when only the submodule was recorded.

FRONT-6   recording a submodule is enough for a change inside it, unless another part of the
          model holds the touched module under another name, holds a tensor of it, or reaches
          into it past the submodule's own call; such modules are named, with the use
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Final

from torch import nn

from morphir.frontend.entry import EntryPoint
from morphir.frontend.syntax import aliases_in, class_trees, containers

_STEPS: Final = (ast.Attribute, ast.Subscript)
_ANY: Final = "*"  # some part, or each


def shared_modules(model: nn.Module) -> dict[str, tuple[str, ...]]:
    """Modules that are registered several times: first qualified name to the others."""
    names: dict[int, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        names.setdefault(id(module), []).append(name)
    return {first: tuple(others) for first, *others in names.values() if others}


def outside_uses(model: nn.Module, entry_points: Sequence[EntryPoint]) -> dict[str, str]:
    """Modules inside the recorded submodules that the rest of the model also uses, and how.

    Empty when a method of the whole model was recorded: then what it reaches is what is covered.
    """
    owners = {entry_point.owner for entry_point in entry_points}
    if "" in owners:
        return {}
    found: dict[str, str] = {}
    for name, use in (
        *_other_names(model, owners),
        *_other_tensors(model, owners),
        *_mentions(model, owners),
    ):
        # Whoever holds a module holds its children.
        for inner, _ in model.get_submodule(name).named_modules(prefix=name):
            found.setdefault(inner, use)
    return found


def _is_inside(name: str, owners: set[str]) -> bool:
    return any(f"{name}.".startswith(f"{owner}.") for owner in owners)


def _other_names(model: nn.Module, owners: set[str]) -> Iterator[tuple[str, str]]:
    for first, others in shared_modules(model).items():
        names = (first, *others)
        outer = next((name for name in names if not _is_inside(name, owners)), None)
        if outer is not None:
            yield from ((n, f"it is also {outer!r}") for n in names if _is_inside(n, owners))


def _other_tensors(model: nn.Module, owners: set[str]) -> Iterator[tuple[str, str]]:
    holders: dict[int, list[str]] = {}
    for named in (model.named_parameters, model.named_buffers):
        for name, tensor in named(remove_duplicate=False):
            holders.setdefault(id(tensor), []).append(name)
    for names in holders.values():
        outer = next((name for name in names if not _is_inside(name, owners)), None)
        if outer is not None:
            for name in names:
                if _is_inside(name, owners):
                    yield name.rpartition(".")[0], f"its tensor {name!r} is also {outer!r}"


def _mentions(model: nn.Module, owners: set[str]) -> Iterator[tuple[str, str]]:
    """What the classes around the recorded submodules say about modules inside them."""
    names = dict(model.named_modules(remove_duplicate=False))
    for owner in owners:
        parts = owner.split(".")
        for depth in range(len(parts)):
            around, inner = ".".join(parts[:depth]), parts[depth]
            kind = type(names[around])
            for chain in sorted(_chains(kind, inner)):  # type: ignore[arg-type]
                path = _module_in(chain, around, names)
                use = f"{kind.__name__} says self.{'.'.join(chain)}"
                if path.startswith(f"{owner}."):
                    yield path, use
                elif path == owner and chain[-1] == _ANY:
                    yield from ((name, use) for name in names if name.startswith(f"{owner}."))


def _module_in(chain: tuple[str, ...], around: str, names: Mapping[str, nn.Module]) -> str:
    """The longest part of `self.a.b.weight` that is a module, by its qualified name."""
    parts = (*around.split("."), *chain) if around else chain
    paths = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
    return next((path for path in paths if path in names), "")


@cache
def _chains(kind: type, first: str) -> frozenset[tuple[str, ...]]:
    """Every whole `self.first.b` and `self.first[0]` in a class and its bases outside torch.

    `self.first[i]`, and a loop over `self.first`, are `("first", "*")`.
    """
    found: set[tuple[str, ...]] = set()
    for tree in class_trees(kind, mention=first):
        aliases = aliases_in(tree)
        nodes = [*ast.walk(tree)]
        inner = {
            id(node.value) for node in nodes if isinstance(node, _STEPS) and _chain(node, aliases)
        }
        chains = {_chain(node, aliases) for node in nodes if id(node) not in inner}
        chains |= {
            (*_chain(container, aliases), _ANY)
            for node in nodes
            if not _chain(node, aliases)
            for container in containers(node)
        }
        found |= {chain for chain in chains if len(chain) > 1 and chain[0] == first}
    return frozenset(found)


def _chain(node: ast.AST, aliases: Mapping[str, ast.expr]) -> tuple[str, ...]:
    """`("a", "b", "0")` for the expression `self.a.b[0]`; empty for anything else."""
    match node:
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return (name,)
        case ast.Name(id=name) if name in aliases:
            return _chain(aliases[name], {})
        case ast.Attribute(value=value, attr=name):
            inner = _chain(value, aliases)
            return (*inner, name) if inner else ()
        case ast.Subscript(value=value, slice=ast.Constant(value=int(index))):
            inner = _chain(value, aliases)
            return (*inner, str(index)) if inner else ()
        case _:
            return ()
