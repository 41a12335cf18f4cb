"""Calls one entry point on a scratch copy and returns what was recorded."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final, final

import torch
from torch import fx, nn

from morphir.errors import RefusalError
from morphir.frontend.effects import Effects
from morphir.frontend.entry import EntryPoint
from morphir.frontend.inputs import Arguments
from morphir.frontend.isolation import Scratch
from morphir.frontend.ledger import Ledger
from morphir.frontend.mode import ModeWatch, switches_plainly
from morphir.frontend.recorder import Recorder
from morphir.frontend.recording import Recording
from morphir.frontend.source import raised_at
from morphir.frontend.witness import Witness, memory_of
from morphir.ir import Mode
from morphir.randomness import host_has_drawn, seed_random_state
from morphir.tensors import map_tensors, tensors_in

SEED: Final = 0
# `nn.Module.__call__` is one for all threads: recordings take turns.
_ONE_AT_A_TIME: Final = threading.RLock()


class CallFailedError(RefusalError):
    """The entry point raised on its example inputs: others may fit.

    Attributes:
        entry_point: Its name.
        what: What it raised.
    """

    def __init__(
        self, entry_point: EntryPoint, error: BaseException, names: Mapping[int, str]
    ) -> None:
        self.entry_point, self.what = entry_point.name, f"{type(error).__name__}: {error}"
        super().__init__(
            f"entry point {self.entry_point!r} failed on its example inputs: {self.what}",
            nodes=raised_at(error, names),
            suggestions=[f"{entry_point.usage} with what it accepts"],
        )

    def plain(self) -> RefusalError:
        """What users see of it."""
        return RefusalError(self.reason, nodes=self.nodes, suggestions=self.suggestions)


@final
@dataclass(frozen=True, eq=False)
class Numbering:
    """What earlier entry points called the constants that have no path in the model.

    Attributes:
        names: Identity of the tensor to its name.
        count: How many there are.
    """

    names: Mapping[int, str]
    count: int


def capture(
    model: nn.Module,
    entry_point: EntryPoint,
    mode: Mode,
    arguments: Arguments,
    numbering: Numbering,
) -> Recording:
    """Records one call; the model and the arguments are left as they were.

    It seeds the random states: who calls it keeps the user's.

    Raises:
        RefusalError: The call fails, or cannot be followed.
    """
    with _ONE_AT_A_TIME:
        found = _Capture(model, entry_point, mode, arguments, numbering).run(draws=False)
        if not found.draws:
            return found
        # Something is random outside of torch: whatever Python makes may depend on it.
        return _Capture(model, entry_point, mode, arguments, numbering).run(draws=True)


@final
class _Capture:
    """One call on one scratch copy."""

    def __init__(
        self,
        model: nn.Module,
        entry_point: EntryPoint,
        mode: Mode,
        arguments: Arguments,
        numbering: Numbering,
    ) -> None:
        self._entry_point = entry_point
        self._arguments = _copied(arguments)
        self._mode = ModeWatch()
        self._scratch = _scratch(model, mode)
        self._effects = Effects(self._scratch)
        graph = fx.Graph()
        self._witness = Witness(_shared_memory(self._scratch))
        self._ledger = Ledger(self._scratch, graph, self._witness, numbering.names, numbering.count)
        self._recorder = Recorder(self._scratch, self._witness, self._ledger, graph)
        self._inputs: dict[str, tuple[fx.Node, torch.Tensor]] = {}

    def run(self, *, draws: bool) -> Recording:
        """Calls the entry point.

        Args:
            draws: Whether Python or numpy are known to draw random numbers during the call.
        """
        args, kwargs = self._arguments
        function = self._entry_point.function(self._scratch.module)
        try:
            self._declare_inputs()
            seed_random_state(SEED)
            with torch.no_grad(), _calling(self._recorder):
                if draws:
                    self._recorder.record_draws()
                with self._mode, self._witness, self._recorder:
                    result = function(*args, **kwargs)
            draws = draws or host_has_drawn(SEED) or self._effects.drew()
            self._recorder.exposure.check()
            self._effects.check_modules()
            self._effects.check_shared()
            recording = self._finish(result, draws)
            self._check_outcome(recording, result)
        except Exception as error:
            self._raise(error)
        finally:
            self._effects.check_parameters()
        if self._recorder.refusal is not None:  # the model caught it
            raise self._recorder.refusal
        return recording

    def _raise(self, error: Exception) -> None:
        refusal = self._recorder.refusal or error
        if isinstance(refusal, RefusalError):
            raise refusal
        names = {id(module): name for name, module, _ in self._scratch.modules}
        raise CallFailedError(self._entry_point, error, names) from error

    def _declare_inputs(self) -> None:
        for path, tensor in self._argument_tensors():
            if not self._ledger.reads(tensor):
                self._inputs[path] = self._ledger.add_input(tensor), tensor

    def _argument_tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        return self._entry_point.tensors(self._arguments)

    def _finish(self, result: Any, draws: bool) -> Recording:
        ledger, recorder = self._ledger, self._recorder
        returned = [
            (path, ledger.node_of(tensor), tensor) for path, tensor in self._outputs(result)
        ]
        updates = dict[str, tuple[str, fx.Node, torch.Tensor]]()
        for name, node, tensor in ledger.updates():
            updates[name] = name, node, tensor
        for name, tensor in self._effects.replaced_buffers():
            updates[name] = name, ledger.node_of(tensor), tensor
        recorder.graph.output(tuple(node for _, node, _ in returned))
        return Recording(
            recorder.graph,
            tuple(recorder.events),
            tuple((path, node) for path, (node, _) in self._inputs.items()),
            tuple(returned),
            ledger.tensors,
            tuple(ledger.constants),
            tuple(ledger.unexplained),
            tuple(updates.values()),
            tuple(recorder.sizes.tests),
            tuple(_notes(recorder, self._effects, draws)),
            recorder.reads_numbers or ledger.has_escaped,
            draws,
            self._mode.was_used or not switches_plainly(self._scratch.module),
        )

    def _check_outcome(self, recording: Recording, result: Any) -> None:
        left = recording.outputs or recording.updates or self._ledger.has_escaped
        if not left:
            raise RefusalError(
                f"entry point {self._entry_point.name!r} returned {type(result).__name__}, in "
                "which no tensor was found",
                suggestions=["entry_points= with a method that returns what it computes"],
            )

    def _outputs(self, result: Any) -> Iterator[tuple[str, torch.Tensor]]:
        """What the caller sees: the result, what was kept on modules, and changed arguments."""
        yield from tensors_in(result)
        for path, tensor in self._effects.kept_tensors():
            if self._ledger.computed(tensor) and id(tensor) not in self._scratch.originals:
                yield f"self.{path}", tensor
        declared = {id(tensor): node for node, tensor in self._inputs.values()}
        for path, tensor in self._argument_tensors():
            node = declared.get(id(tensor))
            is_new = node is None and self._ledger.computed(tensor)
            if is_new or (node is not None and self._ledger.node_of(tensor) is not node):
                yield f"arguments.{path}", tensor


def _notes(recorder: Recorder, effects: Effects, draws: bool) -> Iterator[str]:
    if draws:
        yield "Python or numpy draws random numbers: only these draws are known"
    if recorder.left_at:
        yield (
            f"what runs may depend on values that leave torch ({_listed(recorder.left_at)}): "
            "only the recorded outcome is known"
        )
    if recorder.sized_at:
        yield (
            f"sizes follow from elements ({_listed(recorder.sized_at)}), so those that the program "
            "shows, and what Python does because of them, are those of the example inputs"
        )
    for name in effects.changed_attributes():
        yield f"the call changes self.{name}, which was recorded as it is now"


def _listed(places: Collection[str]) -> str:
    more = f" and {len(places) - 4} more" if len(places) > 4 else ""
    return f"{', '.join([*places][:4])}{more}"


def _scratch(model: nn.Module, mode: Mode) -> Scratch:
    try:
        scratch = Scratch(model)
        scratch.module.train(mode == "train")
    except Exception as error:
        raise RefusalError(
            f"the model cannot be copied to be recorded: {type(error).__name__}: {error}",
            suggestions=["__deepcopy__ on what cannot be copied, or keep it out of the module"],
        ) from error
    return scratch


def _copied(arguments: Arguments) -> Arguments:
    """A copy of the arguments whose tensors are leaves, each a tensor of its own.

    Who passes one tensor as two arguments still means two inputs.
    """
    memo: dict[int, Any] = {
        id(tensor): tensor.detach().clone() for _, tensor in tensors_in(arguments)
    }
    seen: set[int] = set()

    def own(tensor: torch.Tensor) -> torch.Tensor:
        again = id(tensor) in seen
        seen.add(id(tensor))
        return tensor.clone() if again else tensor

    try:
        copied: Arguments = map_tensors(copy.deepcopy(arguments, memo), own)
        return copied
    except Exception as error:
        raise RefusalError(
            f"the example inputs cannot be copied: {type(error).__name__}: {error}"
        ) from error


def _shared_memory(scratch: Scratch) -> dict[Any, str]:
    """What the call must not write to: parameters, their gradients, and the original's buffers."""
    shared: dict[Any, str] = {}
    for parameter in scratch.parameters:
        name = scratch.names[id(parameter)]
        shared[memory_of(parameter)] = f"its parameter {name!r}"
        if parameter.grad is not None:
            shared[memory_of(parameter.grad)] = f"the gradient of its parameter {name!r}"
    for memory, tensor in scratch.memory.items():
        name = scratch.names[id(tensor)]
        shared.setdefault(memory, f"the buffer {name!r} of the original model")
    return shared


@contextmanager
def _calling(recorder: Recorder) -> Iterator[None]:
    """Watches module calls by replacing `nn.Module.__call__`; runs compiled functions eagerly."""
    original = nn.Module.__call__

    def watched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        return recorder.call_module(module, original, args, kwargs)

    with _eager():
        nn.Module.__call__ = watched  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.__call__ = original  # type: ignore[method-assign]


def _eager() -> Any:
    """Makes functions under `torch.compile` run as written; nothing to do before its first use."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    return torch.compiler.set_stance("force_eager")
