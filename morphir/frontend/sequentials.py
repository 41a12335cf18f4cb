"""Which `nn.Sequential` containers can take a new child between two others."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterable
from functools import cache

from torch import nn

from morphir.ir import Call, Graph


def plain_sequentials(model: nn.Module, graphs: Iterable[Graph]) -> tuple[str, ...]:
    """Names the Sequentials that run their children in order and in no other way.

    One qualifies if it has Sequential's own forward, was called in a recording, every recorded call
    of a child happened inside a call of it, and no method of the class that holds it indexes or
    slices it.
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
    names = []
    for name, module in model.named_modules():
        plain = isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
        if not plain or name in bypassed or "forward" in vars(module):
            continue
        if name == "" or (name in called and not _is_indexed(model, name)):
            names.append(name)
    return tuple(names)


def _is_indexed(model: nn.Module, name: str) -> bool:
    owner, _, attribute = name.rpartition(".")
    return attribute in _indexed_attributes(type(model.get_submodule(owner)))  # type: ignore[arg-type]


@cache
def _indexed_attributes(kind: type) -> frozenset[str]:
    """Attributes `a` for which a method of the class, or of its bases, says `self.a[...]`."""
    found: set[str] = set()
    for base in kind.__mro__:
        if base.__module__.startswith("torch.") or base is object:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError, IndentationError):
            continue  # defined where there is no source: only recorded calls can tell
        found |= {
            node.value.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute)
        }
    return frozenset(found)
