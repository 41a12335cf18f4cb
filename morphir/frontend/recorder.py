"""The recording torch.fx tracer: one real call becomes a torch.fx.Graph.

A `TorchFunctionMode` sees every functional call that the model makes, at the level at which people
write them (`F.linear`, `x.view`), and each becomes a `call_function` node. Unlike symbolic tracing
it follows whatever runs: control flow, whole Stable-Baselines3 policies, Hugging Face models. What
a real call could hide is watched for: in-place changes and the views that see them, values that
leave torch (`bool(x)`, `x.numpy()`), random draws, scripted submodules.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, final

import torch
from torch import fx, nn
from torch.overrides import TorchFunctionMode

from morphir.errors import RefusalError
from morphir.frontend import recording as marks
from morphir.frontend.arguments import context_of, count, hold, operands_in
from morphir.frontend.exposure import Exposure
from morphir.frontend.isolation import Scratch
from morphir.frontend.ledger import Ledger
from morphir.frontend.recording import Event
from morphir.frontend.sizes import ReadSize, TaggedInt
from morphir.frontend.source import is_called_by_torch, source_line
from morphir.frontend.surface import (
    ASSIGNS_DATA,
    COUNTS,
    DIFFERENTIATES,
    EXPOSES_MEMORY,
    METADATA,
    SHAPES,
    function_name,
)
from morphir.frontend.witness import Witness, memory_of
from morphir.ir import TensorType
from morphir.tensors import tensors_in

_T = torch.Tensor
_Kernel = torch._ops.OpOverload
_LIFT: Final = torch.ops.aten.lift_fresh.default  # how tensors made from Python data enter torch
_FEW: Final = 64  # a longer list of numbers becomes a constant


@final
class Recorder(TorchFunctionMode):
    """Records the functional calls made while it is active.

    Attributes:
        graph: One node per functional call so far.
        events: Nodes and module calls in execution order.
        sizes: What takes note of what Python does with sizes.
        is_running: Whether the model's code is running.
        refusal: The first refusal, in case that the model swallowed it.
        reads_numbers: Whether the shape of a result follows from elements.
        left_at: Where in the user's code values left torch.
        sized_at: Where in the user's code the shape of a new tensor followed from elements.
        exposure: The memory that was handed out.
    """

    def __init__(self, scratch: Scratch, witness: Witness, ledger: Ledger, graph: fx.Graph) -> None:
        super().__init__()
        self.graph = graph
        self.events: list[Event] = []
        self.sizes = scratch.sizes
        self.sizes.on_float = self._record_float
        self.refusal: RefusalError | None = None
        self.is_running = False
        self.reads_numbers = False
        self.left_at: dict[str, None] = {}
        self.sized_at: dict[str, None] = {}
        self.exposure = Exposure()
        self.ledger = ledger
        ledger.emit = self._emit_marker
        self._witness = witness
        self._modules = {id(module): name for name, module, _ in scratch.modules}
        self._missing: list[str] = []  # arguments of the call that cannot be written down
        self._context = ""  # what makes the call mean something else than its function
        self._is_in_call = False  # a function of torch is running
        self._thread = threading.get_ident()

    def __enter__(self) -> Recorder:
        self.is_running = True
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        self.is_running = False
        super().__exit__(*error)  # type: ignore[no-untyped-call]

    # -- calls -----------------------------------------------------------------------------------

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        try:
            if func in METADATA:
                return func(*args, **kwargs)
            if func in SHAPES or func in COUNTS:
                return self._read_size(func, args, kwargs)
            if func is _T.__iter__:
                return iter(self._record(_T.unbind, (args[0],), {}))
            return self._record(func, args, kwargs)
        except RefusalError as refusal:
            self.refusal = self.refusal or refusal
            raise

    def _read_size(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        result = func(*args, **kwargs)
        tensor = args[0] if args else kwargs["input"]
        if not self.ledger.reads(tensor):
            return result
        node = self.ledger.node_of(tensor)
        sizes = [
            TaggedInt(size, ReadSize(node, axis), self.sizes)
            for axis, size in enumerate(tensor.shape)
        ]
        if isinstance(result, torch.Size):
            return torch.Size(sizes)
        if func is _T.size:
            return sizes[args[1] if len(args) > 1 else kwargs["dim"]]
        if func is _T.__len__:
            if not is_called_by_torch():
                self._record_float(sizes[0])  # what `len` makes of it remembers nothing either
            return sizes[0]
        product: Any = 1
        for size in sizes:
            product = size * product
        return product

    def _record(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        if func in DIFFERENTIATES:
            raise RefusalError(
                "the model differentiates while it runs; what that gives depends on more than the "
                "values that are read",
                suggestions=["entry_points= with a method that only computes values"],
            )
        operands = [*operands_in(args), *operands_in(kwargs)]
        if func == _T.__deepcopy__:
            func, args = _T.clone, args[:1]
        if func is _LIFT and not self.ledger.reads(operands[0]):
            return self._lift_python_data(operands[0])
        self._missing = []
        self._context = context_of(operands)
        fx_args, fx_kwargs = self._hold(tuple(args)), self._hold(kwargs)
        if func in EXPOSES_MEMORY:
            self.exposure.add(args[0])
        result = self._run(func, args, kwargs)
        witness = self._witness
        changed = [*self._changed(operands)]
        if func == ASSIGNS_DATA:
            self.ledger.mark_changed(args[0], self._emit_marker(marks.alias, fx_args[1:], args[:1]))
            return result
        results = [*operands_in(result)]
        known = {id(tensor) for tensor in operands}
        if not operands and not witness.drew and self._is_data((fx_args, fx_kwargs)):
            for tensor in results:
                self.ledger.made_by_python(tensor)
        elif not results and not changed:
            self._record_escape(func, operands)
        elif changed or witness.drew or any(id(tensor) not in known for tensor in results):
            self._record_call(func, fx_args, fx_kwargs, results, changed)
        # Otherwise the call returned its own operand (`x.contiguous()`, dropout in eval mode).
        return result

    def _run(self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self._witness.start()
        self._is_in_call = True
        try:
            if isinstance(func, _Kernel):  # came through the witness, which is not active in itself
                return self._witness.run(func, args, kwargs)
            if func == ASSIGNS_DATA:
                self._witness.check(args[0])
            return func(*args, **kwargs)
        finally:
            self._is_in_call = False

    def _hold(self, arguments: Any) -> Any:
        return hold(arguments, self.ledger.node_of, self._missing)

    def _is_data(self, held: Any) -> bool:
        """Whether a call without operands makes a tensor of more than a few numbers."""
        return bool(self._missing) or count(held) > _FEW

    def _lift_python_data(self, tensor: _T) -> _T:
        result: _T = _LIFT(tensor)
        self.ledger.made_by_python(result)
        return result

    def _changed(self, operands: Sequence[_T]) -> Iterator[_T]:
        """The operands that the call wrote to, itself or through a view of its own."""
        if not self._witness.changed:
            return
        identities = {id(tensor) for tensor in operands}
        written = {id(tensor) for tensor in self._witness.changed}
        hidden = {
            memory_of(tensor) for tensor in self._witness.changed if id(tensor) not in identities
        }
        seen: set[int] = set()
        for tensor in operands:
            if id(tensor) not in seen and (
                id(tensor) in written or (hidden and memory_of(tensor) in hidden)
            ):
                yield tensor
            seen.add(id(tensor))

    # -- nodes -----------------------------------------------------------------------------------

    def _record_call(
        self,
        func: Callable[..., Any],
        args: Any,
        kwargs: Any,
        results: list[_T],
        changed: list[_T],
    ) -> None:
        old = [self.ledger.node_of(tensor) for tensor in changed]
        results = list({id(tensor): tensor for tensor in results}.values())
        outputs = results or changed[:1]
        in_place = len(outputs) == 1 and any(outputs[0] is tensor for tensor in changed)
        writes = [t for t in changed if all(t is not output for output in outputs)]
        node = self._emit(func, args, kwargs, [*outputs, *writes])
        node.meta["random"] = self._witness.drew
        node.meta["in_place"] = in_place
        node.meta["writes"] = tuple(
            n for t, n in zip(changed, old, strict=True) if any(t is w for w in writes)
        )
        is_found = not self._missing and function_name(func).startswith("torch.")
        if not is_found or node.meta["context"]:
            node.meta["given"] = [tensor.detach().clone() for tensor in (*outputs, *writes)]
        self._mark_hidden_changes(changed, node)  # in memory that was there before the results
        for tensor, value in zip([*outputs, *writes], node.meta["outputs"], strict=True):
            if any(tensor is c for c in changed):
                self.ledger.mark_changed(tensor, value)
            else:
                self.ledger.bind(tensor, value)
        if self._witness.read_numbers:
            self.reads_numbers = True
            if not in_place:
                self.sized_at[node.meta["source"]] = None

    def _mark_hidden_changes(self, changed: Sequence[_T], node: fx.Node) -> None:
        """Marks memory that a call wrote to without having it among its operands."""
        done = {memory_of(tensor) for tensor in changed}
        for tensor in self._witness.changed:
            memory = memory_of(tensor)
            if memory not in done and self.ledger.has_memory(memory):
                self.ledger.mark_memory(memory, node.meta["outputs"][0], but=tensor)

    def _emit(
        self, func: Callable[..., Any], args: Any, kwargs: Any, outputs: Sequence[_T]
    ) -> fx.Node:
        node = self.graph.call_function(func)
        node.args, node.kwargs = args, kwargs  # at once, torch.fx would search them for sizes
        node.meta.update(
            random=False,
            writes=(),
            in_place=False,
            source=source_line() if self.is_running else "",
            context=self._context,
        )
        if len(outputs) == 1:
            node.meta["outputs"] = (node,)
        else:
            node.meta["outputs"] = tuple(
                self.graph.call_function(marks.output, (node, index))
                for index in range(len(outputs))
            )
        for tensor, value in zip(outputs, node.meta["outputs"], strict=True):
            value.meta["type"] = TensorType.of(tensor)
        self.events.append(Event("node", node=node))
        return node

    def _emit_marker(
        self, marker: Callable[..., Any], nodes: tuple[Any, ...], outputs: Sequence[_T]
    ) -> fx.Node:
        node = self._emit(marker, nodes, {}, outputs)
        node.meta["given"] = [tensor.detach().clone() for tensor in outputs]
        return node

    def _record_escape(self, func: Callable[..., Any], operands: list[_T]) -> None:
        known = [self.ledger.node_of(t) for t in operands if self.ledger.reads(t)]
        if known:
            node = self._emit(marks.escape, (function_name(func), *known), {}, [])
            self.ledger.escape(known)
            if not is_called_by_torch():
                how = function_name(func).rpartition(".")[2].strip("_")
                self.left_at[f"{how} at {node.meta['source']}"] = None

    def _record_float(self, number: TaggedInt) -> None:
        """Marks a number of which Python made a float; what is an argument shows its expression."""
        is_here = threading.get_ident() == self._thread
        if self.is_running and is_here and not self._is_in_call:
            self._emit(marks.to_float, (), {"size": number}, [])

    def record_draws(self) -> None:
        """Says at the start that Python or numpy will draw random numbers during the call."""
        node = self._emit(marks.escape, ("random numbers of Python or numpy",), {}, [])
        node.meta["random"] = True
        self.ledger.escape(())

    # -- modules ---------------------------------------------------------------------------------

    def call_module(
        self, module: nn.Module, original: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Runs a module's `__call__` and records where it began and ended."""
        name = self._modules.get(id(module))
        if name is None or threading.get_ident() != self._thread:
            return original(module, *args, **kwargs)
        if isinstance(module, torch.jit.ScriptModule):
            return self._call_scripted(name, module, original, args, kwargs)
        if name == "":
            return original(module, *args, **kwargs)
        self.events.append(Event("enter", name))
        results: tuple[fx.Node, ...] = ()
        try:
            result = original(module, *args, **kwargs)
            with torch._C.DisableTorchFunction():
                results = tuple(self.ledger.node_of(t) for _, t in tensors_in(result))
        finally:  # the model may catch what its part raises
            self.events.append(Event("exit", name, results=results))
        return result

    def _call_scripted(
        self, name: str, module: nn.Module, original: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        """Records one opaque node; it reads the arguments and everything that the module holds."""
        state = [*module.parameters(), *module.buffers()]
        operands = [tensor for _, tensor in tensors_in((args, kwargs))]
        self.events.append(Event("enter", name))
        with torch._C.DisableTorchFunction():
            nodes = [self.ledger.node_of(tensor) for tensor in (*operands, *state)]
            self._witness.start()
            result = original(module, *args, **kwargs)
            results = [tensor for _, tensor in tensors_in(result)]
            changed = [*self._changed([*operands, *state])]
            self._record_call(marks.scripted, (name, *nodes), {}, results, changed)
            ends = tuple(self.ledger.node_of(tensor) for tensor in results)
        self.events.append(Event("exit", name, results=ends))
        return result
