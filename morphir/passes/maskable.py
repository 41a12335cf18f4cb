"""The weights of a program that may be masked: those of its linear layers and convolutions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

from morphir.errors import RefusalError
from morphir.ir import Graph, Node, Program, Value
from morphir.ir.masks import mask_name
from morphir.passes.base import Refusal
from morphir.passes.sites import resolve

_LAYERS: Final = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d",
)  # fmt: skip


@final
@dataclass(frozen=True)
class Maskable:
    """A weight.

    Attributes:
        name: Its state entry.
        shape: Its shape.
        is_end: Whether, wherever it is read, no other layer comes before it, or none after it.
    """

    name: str
    shape: tuple[int, ...]
    is_end: bool


def maskable(program: Program, at: str | Sequence[str] | None) -> list[Maskable]:
    """The weights of some modules and of what is inside them, in the order of the model.

    Args:
        program: The program.
        at: Names and globs of modules; None for all weights.

    Raises:
        RefusalError: A name means nothing, or there is no such weight.
    """
    inner: dict[str, bool] = {}
    for graph in program.graphs.values():
        for node, is_inner in _layers(graph):
            weight = node.arguments["weight"]
            assert isinstance(weight, Value)
            inner[weight.name] = inner.get(weight.name, False) or is_inner
    names = [n for n in program.state if n in inner and program.state[n].kind == "parameter"]
    if at is not None:
        owners = [name.rpartition(".")[0] for name in names]
        found = resolve(at, program, lambda name: any(_holds(name, owner) for owner in owners))
        if isinstance(found, Refusal):
            raise RefusalError(found.reason, nodes=found.nodes, suggestions=found.suggestions)
        names = [
            name
            for name, owner in zip(names, owners, strict=True)
            if any(_holds(each, owner) for each in found)
        ]
    if not names:
        raise RefusalError(
            "there is no weight of a linear layer or convolution that may be masked",
            nodes=[at] if isinstance(at, str) else [*(at or program.graphs)],
            suggestions=["entry_points= with a method that reads it"],
        )
    for name in names:
        _check_name(program, name)
    return [Maskable(n, program.state[n].type.sizes(1), not inner[n]) for n in names]


def _check_name(program: Program, name: str) -> None:
    """Refuses a weight whose mask would have the name of something else (MASK-1)."""
    entry, other = program.state[name], program.state.get(mask_name(name))
    if other is None or entry.mask == other.name:
        return
    fix = f"another name for that {other.kind}"
    if other.kind != "buffer":
        why = "a mask is a buffer"
    elif other.type == entry.type:
        why = "a forward reads or writes it"
    else:
        why = f"a mask has the type of its parameter, {entry.type}"
        if other.type.shape == entry.type.shape:
            home, _, key = other.name.rpartition(".")
            owner = f"model.get_submodule({home!r})"
            weight = name.rpartition(".")[2]
            fix = f"{owner}.{key} = {owner}.{key}.to({owner}.{weight}.dtype)"
    raise RefusalError(
        f"{other.name!r}, {other.type}, is not the mask of {name!r}: {why}",
        nodes=[other.name],
        suggestions=[fix],
    )


def _holds(module: str, owner: str) -> bool:
    return owner == module or owner.startswith(f"{module}.")


def _layers(graph: Graph) -> Iterator[tuple[Node, bool]]:
    """The layers of a graph, each with whether there are others before and after it."""
    layers = [
        node
        for node in graph.nodes
        if node.op in _LAYERS
        and isinstance(weight := node.arguments.get("weight"), Value)
        and weight.origin == "state"
    ]
    after: set[Value] = set()  # what comes after a layer
    later: set[Node] = set()  # the layers with one before
    for node in graph.nodes:
        is_after = not after.isdisjoint(node.operands)
        if is_after and node in layers:
            later.add(node)
        if is_after or node in layers:
            after.update(node.outputs)
    before: set[Value] = set()  # what goes into a layer
    for node in reversed([*graph.nodes]):
        is_before = not before.isdisjoint(node.outputs)
        if node in layers:
            yield node, is_before and node in later
        if is_before or node in layers:
            before.update(node.operands)
