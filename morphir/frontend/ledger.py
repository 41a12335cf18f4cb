"""Knows for every tensor the torch.fx node that holds its value now.

Tensors are told apart by identity and grouped by the memory they share. When one is changed in
place, it gets the node that changed it, and every other tensor on that memory is marked: when it is
read again, an `alias` node stands for its new value. A tensor that nobody declared is traced to
where it came from, or the recording refuses: it never becomes a constant by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import fx

from morphir.errors import RefusalError
from morphir.frontend import recording as marks
from morphir.frontend.isolation import Scratch
from morphir.frontend.witness import Witness, memory_of
from morphir.ir import TensorType

_T = torch.Tensor
Emit = Callable[[Callable[..., Any], tuple[Any, ...], Sequence[_T]], fx.Node]


@dataclass(eq=False, slots=True)
class _Slot:
    """A tensor that the recording knows, and the node that holds its value now."""

    tensor: _T
    node: fx.Node
    changed_by: fx.Node | None = None  # a tensor on the same memory was changed by this node


@final
class Ledger:
    """The tensors of one recording.

    Attributes:
        tensors: State entry name to the tensor as it was before the call.
        constants: Names in `tensors` that are neither parameters nor buffers.
        unexplained: Those of the constants that no function was seen to make.
    """

    def __init__(
        self,
        scratch: Scratch,
        graph: fx.Graph,
        witness: Witness,
        named: Mapping[int, str],
        numbered: int,
    ) -> None:
        self.tensors: dict[str, _T] = {}
        self.constants: list[str] = []
        self.unexplained: list[str] = []
        self._escaped: dict[fx.Node, None] | None = None
        self._scratch = scratch
        self._graph = graph
        self._witness = witness
        self._named = named  # identity of a constant that an earlier entry point read -> its name
        self._numbered = numbered  # how many constants earlier entry points numbered
        self._slots: dict[int, _Slot] = {}
        self._memory: dict[Any, list[_Slot]] = {}
        self._changes: dict[Any, fx.Node] = {}  # memory -> the last node that changed it
        self._made: dict[int, tuple[_T, tuple[fx.Node, ...] | None]] = {}
        self._attributes: dict[str, _T] = {}
        self.emit: Emit

    # -- reading ---------------------------------------------------------------------------------

    def add_input(self, tensor: _T) -> fx.Node:
        """Declares a tensor among the arguments."""
        node = self._graph.placeholder(f"input_{len(self._slots)}")
        self.bind(tensor, node)
        return node

    def node_of(self, tensor: _T) -> fx.Node:
        """The node that holds a tensor's value now."""
        slot = self._slots.get(id(tensor))
        if slot is None:
            node = self._unknown(tensor)
            self.bind(tensor, node)
            slot = self._slots[id(tensor)]
            if node.op == "get_attr":
                slot.changed_by = self._changes.get(memory_of(tensor))
        if slot.changed_by is not None:
            changed_by, slot.changed_by = slot.changed_by, None
            slot.node = self.emit(marks.alias, (slot.node, changed_by), [tensor])
        return slot.node

    def reads(self, tensor: _T) -> bool:
        """Whether the value of a tensor is known or belongs to the model."""
        return id(tensor) in self._slots or id(tensor) in self._scratch.names

    def computed(self, tensor: _T) -> bool:
        """Whether a tensor is an input or was computed here; state and constants don't count."""
        slot = self._slots.get(id(tensor))
        return slot is not None and slot.node.op != "get_attr"

    def _unknown(self, tensor: _T) -> fx.Node:
        name = self._scratch.names.get(id(tensor))
        if name is not None:
            return self._read_state(name, tensor)
        if torch._C._functorch.is_functorch_wrapped_tensor(tensor):
            raise RefusalError(
                "the model uses torch.func (vmap, grad), whose inner tensors cannot be followed",
                suggestions=["entry_points= with a part of the model that does not"],
            )
        original = self._scratch.originals.get(id(tensor))
        if original is not None:
            state = self._scratch.memory.get(memory_of(original))
            if state is not None:  # a view of a parameter that the module keeps
                return self.emit(marks.alias, (self.node_of(state),), [tensor])
            path = self._scratch.path_of(tensor)
            if path is not None:
                self._attributes[path] = tensor
            return self._read_constant(original, path)
        neighbours = self._memory.get(memory_of(tensor), [])
        if neighbours:
            nodes = tuple(dict.fromkeys(self.node_of(slot.tensor) for slot in [*neighbours]))
            return self.emit(marks.alias, nodes, [tensor])
        if id(tensor) in self._made:
            _, escaped = self._made[id(tensor)]
            if escaped is not None:
                return self.emit(marks.python, escaped, [tensor])
            return self._read_constant(tensor.detach().clone(), None)
        node = self._read_constant(tensor, None)
        self.unexplained.append(str(node.target))
        self._witness.protect(tensor, "a tensor from outside the model")
        return node

    def _read_constant(self, tensor: _T, path: str | None) -> fx.Node:
        name = path or self._named.get(id(tensor))
        if name is None:
            taken = self._scratch.names.values()
            name = f"constant.{self._numbered}"
            while name in taken:
                self._numbered += 1
                name = f"constant.{self._numbered}"
            self._numbered += 1
        self.constants.append(name)
        return self._read_state(name, tensor)

    def _read_state(self, name: str, tensor: _T) -> fx.Node:
        self.tensors[name] = tensor
        return self._graph.create_node("get_attr", name, name=f"state_{len(self.tensors)}")

    # -- writing ---------------------------------------------------------------------------------

    def bind(self, tensor: _T, node: fx.Node) -> None:
        """Says that a tensor's value is now that of a node."""
        if "type" not in node.meta:
            node.meta["type"] = TensorType.of(tensor)
        slot = self._slots.get(id(tensor))
        if slot is not None:
            slot.node, slot.changed_by = node, None
            return
        slot = _Slot(tensor, node)
        self._slots[id(tensor)] = slot
        self._memory.setdefault(memory_of(tensor), []).append(slot)

    def mark_changed(self, tensor: _T, node: fx.Node) -> None:
        """Says that a tensor was changed in place by a node, and with it its memory."""
        self.bind(tensor, node)
        self.mark_memory(memory_of(tensor), node, but=tensor)

    def mark_memory(self, memory: Any, node: fx.Node, *, but: _T | None = None) -> None:
        """Says that memory was changed by a node."""
        self._changes[memory] = node
        for slot in self._memory.get(memory, ()):
            if slot.tensor is not but:
                slot.changed_by = node

    def has_memory(self, memory: Any) -> bool:
        """Whether a known tensor lies there."""
        return memory in self._memory

    def escape(self, nodes: Iterable[fx.Node]) -> None:
        """Says that values have left torch: what Python makes from now on may depend on them."""
        self._escaped = (self._escaped or {}) | dict.fromkeys(nodes)

    @property
    def has_escaped(self) -> bool:
        """Whether a value has left torch."""
        return self._escaped is not None

    def made_by_python(self, tensor: _T) -> None:
        """Says that a tensor was made from Python data, out of what had left torch by then."""
        self._made[id(tensor)] = tensor, None if self._escaped is None else tuple(self._escaped)

    # -- at the end ------------------------------------------------------------------------------

    def updates(self) -> Iterator[tuple[str, fx.Node, _T]]:
        """Buffers and other tensors of the model whose value is no longer what it was."""
        for name, tensor in self._scratch.buffers.items():
            known = self._slots.get(id(tensor))
            changed = known is None and memory_of(tensor) in self._changes
            if changed or (known is not None and self._differs(known)):
                yield name, self.node_of(tensor), tensor
        for name, tensor in self._attributes.items():
            if self._differs(self._slots[id(tensor)]):
                yield name, self.node_of(tensor), tensor

    @staticmethod
    def _differs(slot: _Slot) -> bool:
        return slot.node.op != "get_attr" or slot.changed_by is not None
