"""The program: one state and a graph for each entry point over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

import torch

from morphir.ir.graph import Graph
from morphir.ir.types import TensorType

if TYPE_CHECKING:
    import networkx as nx

StateKind = Literal["parameter", "buffer", "constant"]
Mode = Literal["eval", "train"]
T = TypeVar("T")


@final
@dataclass(frozen=True, slots=True)
class StateEntry:
    """One tensor that outlives a call; tied parameters are one entry with several names.

    Attributes:
        name: Its first qualified name; constants that the code made on the way are called
            `constant.N`.
        kind: Parameter, buffer, or a constant that the recording lifted.
        type: Its concrete type.
        aliases: Its other qualified names.
        mask: The buffer that has 0 where its numbers have to be 0, and 1 elsewhere; "" if there is
            none (MASK-1).
        tensor: The tensor itself, None in a program that was parsed from text.
    """

    name: str
    kind: StateKind
    type: TensorType
    aliases: tuple[str, ...] = ()
    mask: str = ""
    tensor: torch.Tensor | None = field(default=None, compare=False, repr=False)


@final
@dataclass(frozen=True, eq=False)
class Program:
    """What a module computes, as far as its entry points were recorded.

    Attributes:
        model: Name of the module's class.
        mode: Whether it was recorded as in `module.eval()` or as in `module.train()`.
        state: Canonical name to entry, in the order of `named_parameters()` and `named_buffers()`,
            then constants.
        graphs: Entry point to graph.
        sequentials: Modules that run their children in order and in no other way, so that a child
            may be added between two.
        modules: Every module's qualified name and class name, called or not; not part of the text
            form.
        shared: Modules that are registered several times: qualified name to the other names.
        outside: Where only submodules were recorded: modules of which another part of the model
            also makes use, with the use in words. Nothing is known about that use, so such a module
            cannot be changed.
        notes: What a reader should know: a fixed batch size, a branch that was taken, state of
            Python that the call changes.
    """

    model: str
    mode: Mode
    state: Mapping[str, StateEntry]
    graphs: Mapping[str, Graph]
    sequentials: tuple[str, ...] = ()
    modules: Mapping[str, str] = field(default_factory=dict)
    shared: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    outside: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    _found: dict[Any, Any] = field(init=False, default_factory=dict, repr=False)  # by `once`

    @property
    def masks(self) -> Mapping[str, str]:
        """The names of masks, each with that of its parameter."""
        return {entry.mask: entry.name for entry in self.state.values() if entry.mask}

    @property
    def unreached(self) -> tuple[str, ...]:
        """Parameters that no entry point reads: nothing is known about what they do."""
        graphs = self.graphs.values()
        read = {value.name for graph in graphs for value in graph.state}
        read |= {value.name for graph in graphs for _, value in graph.outputs}
        return tuple(
            e.name for e in self.state.values() if e.kind == "parameter" and e.name not in read
        )

    def __str__(self) -> str:
        from morphir.ir.printer import print_program

        return print_program(self)

    @staticmethod
    def parse(text: str) -> Program:
        """Reads the text form back; the state has types but no tensors.

        Raises:
            ValueError: A line is not of the text form; the message has its number.
        """
        from morphir.ir.parser import parse_program

        return parse_program(text)

    def __eq__(self, other: object) -> bool:
        """Equal programs print the same text, source lines aside."""
        return isinstance(other, Program) and self.hash == other.hash

    def __hash__(self) -> int:
        return int(self.hash[:15], 16)

    def with_state(self, state: Mapping[str, StateEntry]) -> Program:
        """The same program with another state; `once` has to find nothing again for other numbers.

        Args:
            state: As the attribute.
        """
        other = replace(self, state=state)
        if [*state.values()] == [*self.state.values()]:  # entries compare all but their tensors
            object.__setattr__(other, "_found", self._found)
        return other

    def once(self, find: Callable[[Program], T]) -> T:
        """What a function finds in a program, whatever its numbers: they are not shown to it.

        Args:
            find: The function, or a class that is made of a program.
        """
        if find not in self._found:
            state = {name: replace(entry, tensor=None) for name, entry in self.state.items()}
            self._found[find] = find(replace(self, state=state))
        found: T = self._found[find]
        return found

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the text form without source lines, in hexadecimal: structure, not weights."""
        return self.once(_text_hash)

    @cached_property
    def complaint(self) -> str:
        """The first law of structure that does not hold, in words; "" for a well-formed program."""
        from morphir.ir.structure import first_complaint

        return self.once(first_complaint)

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """A networkx view for analysis and drawing: see `morphir.ir.view`."""
        from morphir.ir.view import to_networkx

        return to_networkx(self)


def _text_hash(program: Program) -> str:
    from morphir.ir.printer import print_program

    return hashlib.sha256(print_program(program, sources=False).encode()).hexdigest()
