"""What the source of the user's classes says: static looks at code that no recording ran."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Final

_COUNTING: Final = ("len", "list", "tuple", "enumerate", "reversed", "iter", "zip")


def class_trees(kind: type, mention: str = "") -> Iterator[ast.Module]:
    """The parsed sources of a class and its bases outside torch, as far as there are any.

    Args:
        kind: The class.
        mention: Leave out classes in files that mention no attribute of this name: to find a class
            in a large file takes long.
    """
    for base in kind.__mro__:
        module = sys.modules.get(base.__module__)
        if base.__module__.startswith("torch.") or base is object or module is None:
            continue
        try:
            if mention and not re.search(rf"\.{re.escape(mention)}\b", inspect.getsource(module)):
                continue
            yield ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue  # defined where there is no source: nothing can be read


def aliases_in(tree: ast.AST) -> Mapping[str, ast.expr]:
    """The expressions that local names stand for; of several, the last."""
    return {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def containers(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions whose parts a piece of syntax tells apart by number or order."""
    match node:
        case ast.Subscript(value=value) | ast.Starred(value=value):
            yield value
        case ast.For(iter=value) | ast.comprehension(iter=value):
            yield value
        case ast.Call(func=ast.Name(id=function), args=arguments) if function in _COUNTING:
            yield from arguments
