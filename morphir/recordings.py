"""What is recorded and copied of a model before and after it changes."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, final

import torch
from torch import nn

from morphir.attributes import Attributes, attributes_of
from morphir.checks import Inventory
from morphir.checks.calling import double_copy, private_copy
from morphir.cloning import replica
from morphir.errors import RefusalError
from morphir.frontend import Trace, record, refreshed
from morphir.tensors import tensors_in


@final
@dataclass
class Clock:
    """Seconds by phase."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Times a phase that ends well."""
        start = time.perf_counter()
        yield
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.perf_counter() - start


@final
@dataclass(frozen=True, eq=False)
class Traces:
    """A model recorded in eval mode and, where that works, in train mode.

    Attributes:
        eval: The recording in eval mode.
        train: That in train mode, None where there is none.
        train_failure: Why there is none.
        are_one: Whether the same recording stands for both, as nothing in it uses the mode.
        attributes: What Python could read of the model when it was recorded, None where nobody
            looked.
    """

    eval: Trace
    train: Trace | None
    train_failure: str = ""
    are_one: bool = False
    attributes: Attributes | None = None

    @classmethod
    def of(cls, model: nn.Module, example_inputs: Any, entry_points: Sequence[str]) -> Traces:
        """Records a model in both modes.

        Raises:
            RefusalError: It can't be recorded, or there is nothing to record it on.
        """
        _check_rows(example_inputs)
        first = record(model, example_inputs=example_inputs, entry_points=entry_points)
        _check_inputs(first)
        without = [repr(name) for name in entry_points if name not in first.inputs]
        if without:
            return cls(first, None, f"there are no inputs to run {', '.join(without)} on")
        if not first.uses_mode:
            program = replace(first.program, mode="train")
            return cls(first, replace(first, program=program), are_one=True)
        try:
            second = record(
                model, example_inputs=dict(first.inputs), entry_points=entry_points, mode="train"
            )
        except RefusalError as refusal:
            return cls(first, None, refusal.reason)
        return cls(first, second)

    def refreshed(self, model: nn.Module) -> Traces | None:
        """The same of a model with other numbers and masks, None where Python saw numbers."""
        first = refreshed(self.eval, model)
        if first is None:
            return None
        second = self.train
        if second is not None and self.are_one:
            second = replace(second, program=second.program.with_state(first.program.state))
        elif second is not None:
            second = refreshed(second, model)
            if second is None:
                return None
        return replace(self, eval=first, train=second)

    def keeping(self, names: Collection[str], *, copy: bool) -> Traces:
        """The same, with copies of some tensors that are about to change, or without these."""
        state = self.eval.program.state
        copies: dict[str, torch.Tensor | None] = {}
        for name in names:
            tensor = state[name].tensor
            copies[name] = tensor.detach().clone() if copy and tensor is not None else None

        def kept(trace: Trace) -> Trace:
            entries = trace.program.state
            changed = {n: replace(entries[n], tensor=t) for n, t in copies.items()}
            return replace(trace, program=trace.program.with_state({**entries, **changed}))

        train = None if self.train is None else kept(self.train)
        return replace(self, eval=kept(self.eval), train=train)


@final
@dataclass(frozen=True, eq=False)
class Recording:
    """A model as an application left it, to be recorded no more while only numbers change.

    Attributes:
        traces: Its recordings.
        inventory: What else there is to know about it from outside.
        attributes: What Python may read of it, None where something is not known to compare.
    """

    traces: Traces
    inventory: Inventory
    attributes: Attributes | None

    @classmethod
    def taken(cls, model: nn.Module, traces: Traces, inventory: Inventory) -> Recording:
        """Notes of a model, of which these are the recordings and the inventory, what is left.

        With recordings that were kept go the attributes of then: they are what it has to be like.
        """
        return cls(traces, inventory, traces.attributes or attributes_of(model))

    def of(self, model: nn.Module, now: Inventory, entry_points: Sequence[str]) -> Traces | None:
        """The recordings of the model as it is now, None where they may be others (MASK-10).

        Args:
            model: The model.
            now: Its inventory.
            entry_points: What is to be recorded of it.
        """
        if [*entry_points] != [*self.traces.eval.program.graphs]:
            return None
        if self.attributes is None or self.attributes != attributes_of(model):
            return None
        traces = self.traces.refreshed(model) if now.is_structured_as(self.inventory) else None
        return traces and replace(traces, attributes=self.attributes)


def reads_the_same(copied: nn.Module, original: nn.Module) -> bool:
    """Whether Python can read the same of a copy, its own parts in the place of the original's."""
    known = attributes_of(copied)
    return known is not None and known == attributes_of(original)


def _check_rows(example_inputs: Any) -> None:
    given = [(path, tensor) for path, tensor in tensors_in(example_inputs) if tensor.dim()]
    if given and not any(len(tensor) for _, tensor in given):
        shown = " and ".join(f"{path} of shape {tuple(t.shape)}" for path, t in given)
        raise RefusalError(
            f"the example inputs have a batch of 0 ({shown}): on them nothing is computed, and "
            "nothing can be compared",
            suggestions=["example inputs with at least one row, better two"],
        )


def _check_inputs(trace: Trace) -> None:
    graphs = trace.program.graphs
    if not any(graph.inputs for graph in graphs.values()):
        raise RefusalError(
            f"{' and '.join(map(repr, graphs))} takes no tensor: what depends on no input can't be "
            "recorded",
            nodes=[*graphs],
            suggestions=[
                "entry_points= with a method that takes one",
                "the tensor that it computes with as an argument",
            ],
        )


@final
@dataclass(frozen=True, eq=False)
class Twins:
    """Copies of a model to run, so that running it changes nothing that the user holds.

    Attributes:
        native: In the stored dtype, with the model's own parameters.
        double: In float64.
    """

    native: nn.Module
    double: nn.Module

    @classmethod
    def of(cls, model: nn.Module) -> Twins:
        """Copies a model; its optimizers are not copied."""
        return cls(replica(model), double_copy(model))

    def apart(self) -> Twins:
        """The same, with parameters of their own."""
        return Twins(private_copy(self.native), self.double)
