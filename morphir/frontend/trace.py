"""Traces a module: records its entry points over one shared state.

FRONT-5   a recording can be repeated: the same call gives the same graph and the same
          constants; and where other numbers give another graph, values were seen to leave torch
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import fx, nn

from morphir.errors import RefusalError
from morphir.frontend.admission import check_module
from morphir.frontend.batching import (
    another_batch,
    batch_size,
    constant_difference,
    fixed_note,
    merge,
    size_test_notes,
)
from morphir.frontend.capture import CallFailedError, Numbering, capture
from morphir.frontend.entry import EntryPoint, resolve_entry_points
from morphir.frontend.fidelity import check_fidelity
from morphir.frontend.importer import Importer
from morphir.frontend.inputs import Arguments, check_keys, check_taken, given_inputs, known_inputs
from morphir.frontend.outside import outside_uses, shared_modules
from morphir.frontend.recording import Recording
from morphir.frontend.seen import sees_numbers
from morphir.frontend.sequentials import plain_sequentials
from morphir.frontend.symbolic import trace_symbolically
from morphir.ir import Graph, Mode, Program, StateEntry, TensorType, check_structure
from morphir.ir.masks import with_masks
from morphir.ops import DEFAULT_TABLE, OpTable
from morphir.randomness import kept_random_state


@final
@dataclass(frozen=True, eq=False)
class Trace:
    """A program with the inputs that it was recorded on.

    Attributes:
        program: What was recorded.
        inputs: Entry point to arguments; entry points that were traced symbolically have none.
        uses_mode: Whether something that ran may run differently in the other mode (FRONT-8).
        sees_numbers: Whether other numbers may give another graph (MASK-10).
    """

    program: Program
    inputs: Mapping[str, Arguments]
    uses_mode: bool
    sees_numbers: bool


def trace(
    model: nn.Module,
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
) -> Program:
    """Records what a module computes as a program; the module is left as it was.

    Args:
        model: Any module whose parameters hold numbers.
        example_inputs: A tuple of positional arguments for all entry points, or a dict from entry
            point to a tuple or to `(args, kwargs)`. Without it inputs are found where they follow
            from what is known about the model.
        entry_points: Names of the methods to record, `forward` or others; `"sub.module"` records a
            submodule's call.

    Returns:
        The program in eval mode; `print(program)` shows it.

    Raises:
        RefusalError: The model cannot be recorded; the message says what is missing.
    """
    return record(model, example_inputs=example_inputs, entry_points=entry_points).program


def record(
    model: nn.Module,
    *,
    example_inputs: Any = None,
    entry_points: Sequence[str] = ("forward",),
    mode: Mode = "eval",
    table: OpTable = DEFAULT_TABLE,
) -> Trace:
    """Does what `trace` does, in either mode, and keeps the inputs."""
    with _without_autocast(), _without_collection(), kept_random_state():
        return _record(model, example_inputs, entry_points, mode, table)


def refreshed(trace: Trace, model: nn.Module) -> Trace | None:
    """The recording of a model of which nothing but numbers and masks has changed since (MASK-10).

    Args:
        trace: The recording of what it was.
        model: The model, or a copy of it, as it is.

    Returns:
        The recording with the state of the model; None where Python may have seen its numbers, or
        sizes that depend on them.
    """
    if trace.sees_numbers:
        return None
    entries = trace.program.state.values()
    constants = {e.name: e.tensor for e in entries if e.kind == "constant" and e.tensor is not None}
    state = with_masks(_state(model, constants), trace.program.graphs.values())
    return replace(trace, program=trace.program.with_state(state))


@contextmanager
def _without_autocast() -> Iterator[None]:
    """Switches off the caller's autocast: a recording is in the stored dtypes."""
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def _without_collection() -> Iterator[None]:
    """Pauses the cyclic garbage collector.

    A recording keeps what it makes; to search that for garbage again and again takes longer than
    to make it.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _record(
    model: nn.Module,
    example_inputs: Any,
    entry_points: Sequence[str],
    mode: Mode,
    table: OpTable,
) -> Trace:
    check_module(model)
    entries = resolve_entry_points(model, entry_points)
    check_taken(example_inputs, entries)
    check_keys(example_inputs, entries)
    given = (
        {} if example_inputs is None else given_inputs(example_inputs, [e.name for e in entries])
    )
    session = _Session(model, mode, table)
    inputs: dict[str, Arguments] = {}
    graphs: dict[str, Graph] = {}
    for entry in entries:
        arguments = given.get(entry.name) or known_inputs(model, entry)
        try:
            if arguments is not None:
                graphs[entry.name] = session.record(entry, arguments)
                inputs[entry.name] = arguments
            else:
                graphs[entry.name] = session.trace_symbolically(entry)
        except CallFailedError as failure:
            if entry.name in given:
                raise failure.plain() from failure.__cause__  # it stays the context
            graphs[entry.name] = session.trace_after(failure, entry)
    program = Program(
        _class_name(model),
        mode,
        with_masks(_state(model, session.constants), graphs.values()),
        graphs,
        plain_sequentials(model, graphs.values()),
        {path: _class_name(module) for path, module in model.named_modules()},
        shared_modules(model),
        outside_uses(model, entries),
        tuple(dict.fromkeys(session.notes)),
    )
    check_structure(program)
    sees = any(sees_numbers(graph, table) for graph in graphs.values())
    return Trace(program, inputs, session.uses_mode, sees)


def _class_name(module: nn.Module) -> str:
    """The name of a module's class; that of a graph module is its own, and lost by copying."""
    return "GraphModule" if isinstance(module, fx.GraphModule) else type(module).__name__


def _state(model: nn.Module, constants: Mapping[str, torch.Tensor]) -> dict[str, StateEntry]:
    entries: dict[str, StateEntry] = {}
    first: dict[int, str] = {}
    sources: tuple[tuple[Any, Any], ...] = (
        ("parameter", model.named_parameters(remove_duplicate=False)),
        ("buffer", model.named_buffers(remove_duplicate=False)),
        ("constant", constants.items()),
    )
    for kind, named in sources:
        for name, tensor in named:
            if id(tensor) in first and kind != "constant":
                entry = entries[first[id(tensor)]]
                entries[entry.name] = replace(entry, aliases=(*entry.aliases, name))
            else:
                first[id(tensor)] = name
                entries[name] = StateEntry(name, kind, TensorType.of(tensor), tensor=tensor)
    return entries


class _NotRepeatableError(RefusalError):
    """The same call gave two graphs."""


@final
class _Session:
    """The recordings of one model, and what there is to say about them.

    Attributes:
        constants: The constants that the entry points read, by name.
        notes: What a reader should know.
        uses_mode: Whether something that ran may run differently in the other mode.
    """

    def __init__(self, model: nn.Module, mode: Mode, table: OpTable) -> None:
        self.constants: dict[str, torch.Tensor] = {}
        self.notes: list[str] = []
        self.uses_mode = False
        self._model = model
        self._mode: Mode = mode
        self._table = table

    def record(self, entry: EntryPoint, arguments: Arguments) -> Graph:
        """Records an entry point; a call that fills a cache outside of the model runs once more."""
        try:
            return self._record(entry, arguments)
        except _NotRepeatableError:
            pass
        try:
            graph = self._record(entry, arguments)
        except _NotRepeatableError as error:
            raise RefusalError(error.reason, suggestions=error.suggestions) from None
        self.notes.append(
            f"{entry.name}: its first call ran differently and was not recorded: it fills a cache"
        )
        return graph

    def _record(self, entry: EntryPoint, arguments: Arguments) -> Graph:
        """Records twice, where the inputs have a batch at two batch sizes; checks both."""
        first = self._capture(entry, arguments)
        graph = self._import(entry, first, arguments, note=True)
        merged, second = self._symbolic_batch(entry, graph, first, arguments)
        _check_unexplained(first, second)
        self.notes += [
            f"{entry.name}: {n}" for n in (*first.notes, *size_test_notes(first, second))
        ]
        self.constants |= {name: first.tensors[name] for name in first.constants}
        self.uses_mode |= first.uses_mode or second.uses_mode
        return merged

    def trace_after(self, failure: CallFailedError, entry: EntryPoint) -> Graph:
        """Falls back to symbolic torch.fx because the inputs that were guessed did not fit."""
        try:
            return self.trace_symbolically(entry)
        except RefusalError as refusal:
            raise RefusalError(
                f"with inputs that seemed to follow from the model, {failure.reason}; "
                f"{refusal.reason}",
                suggestions=refusal.suggestions,
            ) from failure

    def trace_symbolically(self, entry: EntryPoint) -> Graph:
        """Falls back to symbolic torch.fx."""
        traced = trace_symbolically(self._model, entry, self._mode)
        self.uses_mode = True
        self.notes.append(
            f"{entry.name}: traced without inputs, so shapes are unknown and nothing was run"
        )
        self.constants |= {name: traced.tensors[name] for name in traced.constants}
        return Importer(self._table).run(traced, entry.name)

    def _capture(self, entry: EntryPoint, arguments: Arguments) -> Recording:
        names = {id(tensor): name for name, tensor in self.constants.items()}
        numbered = sum(name.startswith("constant.") for name in self.constants)
        return capture(self._model, entry, self._mode, arguments, Numbering(names, numbered))

    def _import(
        self, entry: EntryPoint, recording: Recording, arguments: Arguments, *, note: bool
    ) -> Graph:
        """Imports a recording and compares its replay with what the module gave."""
        importer = Importer(self._table)
        graph = importer.run(recording, entry.name)
        tensors = dict(recording.tensors)
        tensors |= dict(self._model.named_parameters(remove_duplicate=False))
        tensors |= dict(self._model.named_buffers(remove_duplicate=False))
        inputs = dict(entry.tensors(arguments))
        why_not = check_fidelity(graph, recording, tensors, inputs, importer.given, self._table)
        if why_not and note:
            self.notes.append(f"{entry.name}: not compared with a replay, because of {why_not}")
        return graph

    def _symbolic_batch(
        self, entry: EntryPoint, graph: Graph, first: Recording, arguments: Arguments
    ) -> tuple[Graph, Recording]:
        """The graph with a symbolic batch if another size gives the same one, else as it is."""
        size = batch_size(arguments)
        reason = difference = ""
        failure: BaseException | None = None
        for rescale in (True, False) if size else ():
            longer = another_batch(arguments, size, rescale=rescale)
            try:
                second = self._capture(entry, longer)
            except RefusalError as refusal:
                reason = refusal.reason
                failure = refusal.__cause__ if isinstance(refusal, CallFailedError) else None
                continue
            failure = None
            graph_2 = self._import(entry, second, longer, note=False)
            merged = merge(graph, graph_2, (size, size + 1))
            reason = constant_difference(first, second) if isinstance(merged, Graph) else merged
            if not reason and isinstance(merged, Graph):
                if difference and not first.reads_numbers:
                    raise RefusalError(
                        f"{entry.name!r} runs differently on other numbers ({difference}), but no "
                        "value was seen to leave torch"
                    )
                return merged, second
            difference = reason
        second = self._capture(entry, arguments)
        again = merge(graph, Importer(self._table).run(second, entry.name), (1, 1))
        difference = constant_difference(first, second) if isinstance(again, Graph) else again
        if difference:
            raise _NotRepeatableError(
                f"the same call of {entry.name!r} was recorded twice and differs, so it depends on "
                f"something outside of the model: {difference}",
                suggestions=["buffers in place of clocks, counters and files"],
            )
        if size:
            self.notes.append(f"{entry.name}: {fixed_note(size, reason, failure, arguments)}")
        return graph, second


def _check_unexplained(first: Recording, second: Recording) -> None:
    """A tensor that no function made must have been there before: the same one in both calls."""
    for name in first.unexplained:
        if second.tensors.get(name) is not first.tensors[name]:
            kind = TensorType.of(first.tensors[name])
            raise RefusalError(
                f"the model computes with a tensor of type {kind} that no torch function was seen "
                "to make",
                suggestions=["torch operations in place of a custom extension, threads or ctypes"],
            )
