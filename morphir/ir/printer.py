"""Prints a program in its text form, which `parser` reads back.

    program ActorCritic eval
    parameter @trunk.0.weight: f32[64, 8]
    sequential trunk

    graph get_value(%obs: f32[B, 8]):
      call trunk:
        call trunk.0:
          %0: f32[B, 64] = linear(input=%obs, weight=@trunk.0.weight)  # agent.py:12
          results %0
        results %0
      output '' = %0

Results are numbered in execution order and state is sorted by name, so equal programs print equal
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

import torch

from morphir.ir.graph import (
    Argument,
    Arithmetic,
    Call,
    Graph,
    Item,
    ModuleAttribute,
    Node,
    SizeOf,
    Value,
)
from morphir.ir.program import Program

_PLAIN_NAME = re.compile(r"[A-Za-z_0-9][A-Za-z_0-9.\-]*")
_PLAIN_OP = re.compile(r"[A-Za-z_][A-Za-z_0-9.]*")


def quote_name(name: str) -> str:
    """Returns a name as it is, or as a JSON string when it has unusual characters."""
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def number_values(graph: Graph) -> dict[Value, str]:
    """Names every value of a graph as the text form does."""
    names = {value: f"%{quote_name(value.name)}" for value in graph.inputs}
    taken = set(names.values())
    number = 0
    for node in graph.nodes:
        for value in node.outputs:
            while f"%{number}" in taken:  # an input may be called 0
                number += 1
            names[value] = f"%{number}"
            number += 1
    return names


def print_argument(argument: Argument, names: Mapping[Value, str]) -> str:
    """Prints one argument; the inverse of the parser's `_read_argument`."""
    match argument:
        case Value(origin="state", name=name):
            return f"@{quote_name(name)}"
        case Value():
            return names.get(argument, "%?")
        case SizeOf(value=value, axis=axis):
            return f"size({print_argument(value, names)}, {axis})"
        case ModuleAttribute(module=module, name=name, number=number):
            return f"attribute({module!r}, {name!r}, {number})"
        case Arithmetic(op=op, left=left, right=right):
            return f"({print_argument(left, names)} {op} {print_argument(right, names)})"
        case tuple():
            inside = ", ".join(print_argument(part, names) for part in argument)
            return f"({inside},)" if len(argument) == 1 else f"({inside})"
        case slice(start=start, stop=stop, step=step):
            return f"slice{print_argument((start, stop, step), names)}"
        case _:
            return _print_literal(argument)


def _print_literal(literal: Argument) -> str:
    match literal:
        case torch.dtype() | torch.layout() | torch.memory_format():
            return str(literal)
        case torch.device():
            return f"device({str(literal)!r})"
        case complex():
            return (
                f"complex({str(literal)!r})"  # repr cannot be read back where a part is nan or -0
            )
        case float() if literal != literal or literal in (float("inf"), -float("inf")):
            return f"float({str(literal)!r})"
        case _:
            return "..." if literal is ... else repr(literal)


def print_node(
    node: Node, names: Mapping[Value, str], *, sources: bool = True, types: bool = True
) -> str:
    """Prints one node on one line."""
    outputs = ", ".join(_typed(names.get(value, "%?"), value, types) for value in node.outputs)
    line = f"{outputs} = " if node.outputs else ""
    line += print_call(node, names)
    if sources and node.source:
        line += f"  # {node.source}"
    return line


def print_call(node: Node, names: Mapping[Value, str]) -> str:
    """Prints what a node does, without its outputs and types."""
    arguments = ", ".join(f"{k}={print_argument(v, names)}" for k, v in node.arguments.items())
    text = f"{node.op if _PLAIN_OP.fullmatch(node.op) else json.dumps(node.op)}({arguments})"
    if node.writes:
        text += f" writes {', '.join(node.writes)}"
    return f"{text} random" if node.random else text


def _typed(name: str, value: Value, types: bool) -> str:
    return f"{name}: {value.type}" if types and value.type is not None else name


def _print_items(
    items: tuple[Item, ...], names: Mapping[Value, str], indent: str, sources: bool, types: bool
) -> Iterator[str]:
    for item in items:
        if isinstance(item, Call):
            yield f"{indent}call {quote_name(item.module)}:"
            yield from _print_items(item.body, names, indent + "  ", sources, types)
            results = ", ".join(print_argument(value, names) for value in item.results)
            yield f"{indent}  results {results}".rstrip()
        else:
            yield indent + print_node(item, names, sources=sources, types=types)


def print_graph(graph: Graph, *, sources: bool = True, types: bool = True) -> str:
    """Prints one entry point."""
    names = number_values(graph)
    inputs = ", ".join(_typed(names[value], value, types) for value in graph.inputs)
    lines = [f"graph {quote_name(graph.name)}({inputs}):"]
    lines += _print_items(graph.body, names, "  ", sources, types)
    lines += [
        f"  update @{quote_name(name)} = {print_argument(value, names)}"
        for name, value in graph.updates
    ]
    lines += [
        f"  output {path!r} = {print_argument(value, names)}" for path, value in graph.outputs
    ]
    return "\n".join(lines)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key under which `layers.10` comes after `layers.9`."""
    parts = re.split(r"([0-9]+)", name)
    return [
        (index % 2 == 1, int(part) if index % 2 else 0, part) for index, part in enumerate(parts)
    ]


def print_program(program: Program, *, sources: bool = True) -> str:
    """Prints a program; with `sources=False` what is hashed."""
    lines = [f"program {quote_name(program.model)} {program.mode}"]
    for entry in sorted(program.state.values(), key=lambda entry: _natural(entry.name)):
        also = f" also {', '.join(map(quote_name, entry.aliases))}" if entry.aliases else ""
        mask = f" masked by @{quote_name(entry.mask)}" if entry.mask else ""
        lines.append(f"{entry.kind} @{quote_name(entry.name)}: {entry.type}{also}{mask}")
    names = sorted(program.sequentials, key=_natural)
    lines += [f"sequential {quote_name(name)}" for name in names]
    for graph in program.graphs.values():
        lines += ["", print_graph(graph, sources=sources)]
    return "\n".join(lines) + "\n"
