"""Reads the text form that `printer` writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, final

import torch

from morphir.ir.graph import (
    OPERATORS,
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
from morphir.ir.program import Program, StateEntry
from morphir.ir.tokens import Tokens
from morphir.ir.types import TensorType

_WORDS: Final[Mapping[str, Argument]] = {"None": None, "True": True, "False": False, "...": ...}
_CALLS: Final[Mapping[str, Callable[..., Argument]]] = {
    "attribute": ModuleAttribute,
    "complex": complex,
    "device": torch.device,
    "float": float,
    "size": SizeOf,
    "slice": slice,
}
_TORCH_LITERALS: Final = (torch.dtype, torch.layout, torch.memory_format)
_AFTER_BODY: Final = ("results", "output", "update")


@final
class _Values:
    """The values that a graph has defined so far."""

    def __init__(self, state: Mapping[str, StateEntry]) -> None:
        self._state = state
        self._state_values: dict[str, Value] = {}
        self._defined: dict[str, Value] = {}

    def define(self, name: str, value: Value) -> Value:
        """Gives a new value its name."""
        if name in self._defined:
            raise ValueError(f"%{name} is defined twice")
        self._defined[name] = value
        return value

    def read(self, tokens: Tokens) -> Value:
        """Reads a reference to a value that was defined before."""
        sigil, name = tokens.reference()
        if sigil == "%":
            if name not in self._defined:
                raise ValueError(f"%{name} is used before it is defined")
            return self._defined[name]
        if name not in self._state:
            raise ValueError(f"@{name} is not declared as state")
        if name not in self._state_values:
            self._state_values[name] = Value("state", name, self._state[name].type)
        return self._state_values[name]


def _read_type(tokens: Tokens) -> TensorType:
    dtype = tokens.take("word")
    tokens.expect("[")
    dims: list[str] = [""]
    while not tokens.accept("]"):
        if tokens.accept(","):
            dims.append("")
        else:
            dims[-1] += tokens.take(tokens.next[0])
    return TensorType.parse(f"{dtype}[{', '.join(dims)}]")


def _read_declarations(tokens: Tokens) -> list[tuple[str, TensorType | None]]:
    """Reads `%a: f32[B], %b`."""
    found: list[tuple[str, TensorType | None]] = []
    while tokens.next[0] == "reference":
        _, name = tokens.reference()
        found.append((name, _read_type(tokens) if tokens.accept(":") else None))
        if not tokens.accept(","):
            break
    return found


def _read_argument(tokens: Tokens, values: _Values) -> Argument:
    kind, text = tokens.next
    if kind == "reference":
        return values.read(tokens)
    if kind == "string":
        return tokens.string()
    if kind == "number":
        number = tokens.take("number")
        return float(number) if "." in number or "e" in number else int(number)
    if tokens.accept("("):
        return _read_brackets(tokens, values)
    if text in _CALLS:
        tokens.take("word")
        tokens.expect("(")
        return _CALLS[text](*_read_parts(tokens, values))
    if kind == "word" and text in _WORDS:
        tokens.take("word")
        return _WORDS[text]
    literal = getattr(torch, text.removeprefix("torch."), None)
    if not text.startswith("torch.") or not isinstance(literal, _TORCH_LITERALS):
        raise ValueError(f"expected an argument, found {text or 'the end of the line'!r}")
    tokens.take("word")
    return literal


def _read_brackets(tokens: Tokens, values: _Values) -> Argument:
    """Reads what follows `(`: a tuple, or `left op right`."""
    if tokens.accept(")"):
        return ()
    first = _read_argument(tokens, values)
    sign = tokens.next[1]
    if sign in OPERATORS:
        tokens.expect(sign)
        result = Arithmetic(sign, first, _read_argument(tokens, values))
        tokens.expect(")")
        return result
    tokens.expect(",")
    return (first, *_read_parts(tokens, values))


def _read_parts(tokens: Tokens, values: _Values) -> list[Argument]:
    """Reads arguments up to `)`."""
    parts: list[Argument] = []
    while not tokens.accept(")"):
        parts.append(_read_argument(tokens, values))
        if not tokens.accept(","):
            tokens.expect(")")
            break
    return parts


def _read_node(tokens: Tokens, values: _Values) -> Node:
    """Reads `outputs = op(arguments) writes names random  # source`."""
    declared = _read_declarations(tokens)
    if declared:
        tokens.expect("=")
    op = tokens.name()
    tokens.expect("(")
    arguments: dict[str, Argument] = {}
    while not tokens.accept(")"):
        key = tokens.take("word")
        tokens.expect("=")
        arguments[key] = _read_argument(tokens, values)
        if not tokens.accept(","):
            tokens.expect(")")
            break
    writes: list[str] = []
    if tokens.accept("writes"):
        writes.append(tokens.take("word"))
        while tokens.accept(","):
            writes.append(tokens.take("word"))
    random = tokens.accept("random")
    outputs = tuple(values.define(name, Value("result", "", kind)) for name, kind in declared)
    return Node(op, arguments, outputs, tuple(writes), random, tokens.source)


@final
class _Lines:
    """The lines of the text with a cursor."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self.number = 0  # of the line taken last, counted from 1

    def peek(self) -> tuple[int, str]:
        """Indentation and text of the next line that is not blank; -1 at the end."""
        for line in self._lines[self.number :]:
            if line.strip(" "):
                return len(line) - len(line.lstrip(" ")), line.lstrip(" ")
            self.number += 1
        return -1, ""

    @contextmanager
    def take(self) -> Iterator[Tokens]:
        """Takes the next line as tokens, all of which must be read."""
        _, text = self.peek()
        self.number += 1
        tokens = Tokens(text)
        yield tokens
        tokens.end()

    def starts_with(self, indent: int, *words: str) -> bool:
        """Whether the next line has this indentation and begins with one of these words."""
        found, text = self.peek()
        return found == indent and text.partition(" ")[0] in words


def _read_body(lines: _Lines, values: _Values, indent: int) -> tuple[Item, ...]:
    body: list[Item] = []
    while lines.peek()[0] == indent and not lines.starts_with(indent, *_AFTER_BODY):
        is_call = lines.starts_with(indent, "call")
        with lines.take() as tokens:
            if not is_call:
                body.append(_read_node(tokens, values))
                continue
            tokens.expect("call")
            module = tokens.name()
            tokens.expect(":")
        inside = _read_body(lines, values, indent + 2)
        with lines.take() as tokens:
            tokens.expect("results")
            results: list[Value] = []
            while tokens.next[0] != "end":
                results.append(values.read(tokens))
                tokens.accept(",")
        body.append(Call(module, inside, tuple(results)))
    return tuple(body)


def _read_graph(lines: _Lines, state: Mapping[str, StateEntry]) -> Graph:
    values = _Values(state)
    with lines.take() as tokens:
        tokens.expect("graph")
        name = tokens.name()
        tokens.expect("(")
        declared = _read_declarations(tokens)
        tokens.expect(")")
        tokens.expect(":")
    inputs = tuple(values.define(n, Value("input", n, kind)) for n, kind in declared)
    body = _read_body(lines, values, 2)
    updates: list[tuple[str, Value]] = []
    outputs: list[tuple[str, Value]] = []
    while lines.starts_with(2, "update", "output"):
        with lines.take() as tokens:
            if tokens.accept("update"):
                _, target = tokens.reference()
                tokens.expect("=")
                updates.append((target, values.read(tokens)))
            else:
                tokens.expect("output")
                path = tokens.string()
                tokens.expect("=")
                outputs.append((path, values.read(tokens)))
    return Graph(name, inputs, body, tuple(outputs), tuple(updates))


def _read_state(tokens: Tokens) -> StateEntry:
    kind = tokens.take("word")
    _, name = tokens.reference()
    tokens.expect(":")
    type_ = _read_type(tokens)
    aliases: list[str] = []
    if tokens.accept("also"):
        aliases.append(tokens.name())
        while tokens.accept(","):
            aliases.append(tokens.name())
    mask = ""
    if tokens.accept("masked"):
        tokens.expect("by")
        _, mask = tokens.reference()
    return StateEntry(name, kind, type_, tuple(aliases), mask)  # type: ignore[arg-type]


def _read_program(lines: _Lines) -> Program:
    with lines.take() as tokens:
        tokens.expect("program")
        model = tokens.name()
        mode = tokens.take("word")
        if mode not in ("eval", "train"):
            raise ValueError(f"expected eval or train, found {mode!r}")
    state: dict[str, StateEntry] = {}
    while lines.starts_with(0, "parameter", "buffer", "constant"):
        with lines.take() as tokens:
            entry = _read_state(tokens)
            state[entry.name] = entry
    sequentials: list[str] = []
    while lines.starts_with(0, "sequential"):
        with lines.take() as tokens:
            tokens.expect("sequential")
            sequentials.append(tokens.name())
    graphs: dict[str, Graph] = {}
    while lines.starts_with(0, "graph"):
        graph = _read_graph(lines, state)
        graphs[graph.name] = graph
    indent, text = lines.peek()
    if indent >= 0:
        lines.number += 1
        raise ValueError(f"expected state, `sequential`, `graph` or an item of one, found {text!r}")
    return Program(model, mode, state, graphs, tuple(sequentials))  # type: ignore[arg-type]


def parse_program(text: str) -> Program:
    """Reads a program.

    Raises:
        ValueError: A line is not of the text form; the message has its number.
    """
    lines = _Lines(text)
    try:
        return _read_program(lines)
    except (ValueError, TypeError, RuntimeError) as error:  # RuntimeError: no such torch.device
        raise ValueError(f"line {lines.number}: {error}") from error
