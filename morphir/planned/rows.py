"""What a plan says: the edits of each stage, read off the rewriter, in terms that a person checks.

Nothing here decides anything: what changes, and by which rule, stands in the edits already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, final

from morphir.errors import RefusalError
from morphir.ir import (
    FREE,
    ZERO,
    Added,
    AttributeChange,
    AxisChange,
    Injection,
    Insertion,
    Mapped,
    Multiplied,
    Program,
    Removal,
    Resize,
    TensorType,
    state_within,
)
from morphir.ir.types import dtype_name
from morphir.randomness import kept_random_state

if TYPE_CHECKING:
    from rich.console import RenderableType


@final
@dataclass(frozen=True)
class PlannedTensor:
    """A state entry that changes its shape.

    Attributes:
        name: Its qualified name.
        kind: Parameter or buffer.
        old: Its type.
        new: Its type afterwards.
        how: For each axis how its units are carried over: `copy`, `split`, `fresh`, `zero`,
            `merge`; empty for one that does not change.
        op: The op that reads it first.
        module: The module whose call that op runs in.
        source: `file:line` in the model's code.
    """

    name: str
    kind: str
    old: TensorType
    new: TensorType
    how: tuple[str, ...]
    op: str
    module: str
    source: str

    @property
    def change(self) -> str:
        """Its type with what changes: `f32[8 -> 16 copy, 4]`."""
        axes = [
            f"{old} -> {new} {how}" if how else f"{old}"
            for old, new, how in zip(self.old.shape, self.new.shape, self.how, strict=True)
        ]
        return f"{dtype_name(self.old.dtype)}[{', '.join(axes)}]"


@final
@dataclass(frozen=True)
class PlannedModule:
    """A module that is inserted or removed.

    Attributes:
        name: Its qualified name.
        after: The module on whose output it runs.
        where: Whose child it becomes, or was.
        law: The law by which the function is kept.
        parameters: Its parameters, by their names inside it.
    """

    name: str
    after: str
    where: str
    law: str
    parameters: Mapping[str, TensorType]


@final
@dataclass(frozen=True)
class PlannedStage:
    """Passes that are checked together.

    Attributes:
        passes: Each pass as it could be typed, and indented below it what it does.
        tensors: What changes its shape.
        attributes: What follows.
        modules: What is inserted.
        removed: What is removed.
        on_copy: Whether it was planned on a copy on which the stages before it were carried out.
    """

    passes: tuple[str, ...]
    tensors: tuple[PlannedTensor, ...] = ()
    attributes: tuple[AttributeChange, ...] = ()
    modules: tuple[PlannedModule, ...] = ()
    removed: tuple[PlannedModule, ...] = ()
    on_copy: bool = False

    @property
    def growth(self) -> int:
        """By how much the number of parameters grows."""
        resized = sum(
            _count(each.new) - _count(each.old) for each in self.tensors if each.kind == "parameter"
        )
        new, gone = map(_parameters_of, (self.modules, self.removed))
        return resized + new - gone


@final
@dataclass(frozen=True)
class Plan:
    """What passes would do to a model; it prints.

    Attributes:
        model: Name of the model's class.
        parameters: How many parameters it has.
        stages: What would be done, in order, up to a refusal.
        refusal: Why it would not be done, or None.
        refused: The passes that the refusal is about, as they could be typed.
        notes: What a reader should know of the recording.
    """

    model: str
    parameters: int
    stages: tuple[PlannedStage, ...]
    refusal: RefusalError | None = None
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def tensors(self) -> tuple[PlannedTensor, ...]:
        """What changes its shape, in all stages."""
        return tuple(each for stage in self.stages for each in stage.tensors)

    @property
    def attributes(self) -> tuple[AttributeChange, ...]:
        """The attributes that follow, in all stages."""
        return tuple(each for stage in self.stages for each in stage.attributes)

    @property
    def modules(self) -> tuple[PlannedModule, ...]:
        """What is inserted, in all stages."""
        return tuple(each for stage in self.stages for each in stage.modules)

    @property
    def removed(self) -> tuple[PlannedModule, ...]:
        """What is removed, in all stages."""
        return tuple(each for stage in self.stages for each in stage.removed)

    def __str__(self) -> str:
        with kept_random_state():  # the first import of rich draws a number from Python's
            from morphir.planned.table import plain

        return plain(self)

    def __rich__(self) -> RenderableType:
        """For `rich.print`."""
        from morphir.planned.table import table

        return table(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        with kept_random_state():
            from morphir.planned.table import html

        return html(self)


def count_parameters(program: Program) -> int:
    """How many numbers the parameters of a program hold."""
    return sum(_count(each.type) for each in program.state.values() if each.kind == "parameter")


def planned_tensors(program: Program, edit: Resize) -> Iterator[PlannedTensor]:
    """What a change of axes does to each state entry, in the order of the model."""
    readers = _readers(program)
    for name, entry in program.state.items():
        if name in edit.tensors:
            change = edit.tensors[name]
            new = TensorType(entry.type.dtype, edit.new_shape(name))
            how = tuple(map(_carried, change))
            if edit.inverse:
                how = tuple("merge" if each else "" for each in how)
            op, module, source = readers.get(name, ("", "", ""))
            if name in program.masks:
                op, module = "mask", program.masks[name].rpartition(".")[0]
            yield PlannedTensor(name, entry.kind, entry.type, new, how, op, module, source)


def planned_module(edit: Insertion) -> PlannedModule:
    """What an insertion does."""
    parameters = {name: TensorType.of(p) for name, p in edit.module.named_parameters()}
    where = _place(edit) if edit.inside else f"next {_place(edit)}"
    return PlannedModule(edit.name, edit.anchor, where, edit.law, parameters)


def planned_branch(program: Program, edit: Injection) -> PlannedModule:
    """What an injection does.

    Args:
        program: The program that the rewriter made.
        edit: The injection.
    """
    parameters = _parameters_in(program, edit.name)
    where = f"inside {edit.anchor or 'the model'}"
    return PlannedModule(edit.name, edit.anchor, where, edit.law, parameters)


def planned_removal(program: Program, edit: Removal) -> PlannedModule:
    """What a removal does to the program as it is."""
    return PlannedModule(
        edit.name, edit.anchor, _place(edit), edit.law, _parameters_in(program, edit.name)
    )


def _parameters_in(program: Program, module: str) -> dict[str, TensorType]:
    """The parameters of a module, by the names that it knows them by."""
    return {
        entry.name.removeprefix(f"{module}."): entry.type
        for entry in state_within(program, module).values()
        if entry.kind == "parameter"
    }


def _place(edit: Insertion | Removal) -> str:
    home = edit.name.rpartition(".")[0]
    return f"inside {home}" if edit.inside else f"child of {home or 'the model'}"


def _readers(program: Program) -> dict[str, tuple[str, str, str]]:
    """For each state entry the op that reads it first, with module and source line."""
    found: dict[str, tuple[str, str, str]] = {}
    for graph in program.graphs.values():
        for node in graph.nodes:
            place = node.op, graph.modules[node], node.source
            for value in node.operands:
                if value.origin == "state":
                    found.setdefault(value.name, place)
    return found


def _carried(axis: AxisChange) -> str:
    """How the units of an axis are carried over: copied, split, or joined by others."""
    kinds: dict[str, None] = {}
    for leaf in _changed(axis):
        take = leaf.relation.take
        added = FREE if leaf.polarity == "copy" else ZERO
        new = int((take == added).sum())
        if len(take) - new != leaf.size or not new:
            kinds[leaf.polarity] = None
        if new:
            kinds["fresh" if added == FREE else "zero"] = None
    return " and ".join(kinds)


def _changed(axis: AxisChange) -> Iterator[Mapped]:
    """The atoms of an axis that change, from left to right."""
    match axis:
        case Mapped(map=axis_map):
            if axis_map is not None:
                yield axis
        case Multiplied(factors=parts) | Added(terms=parts):
            for part in parts:
                yield from _changed(part)


def _parameters_of(modules: Iterable[PlannedModule]) -> int:
    return sum(_count(each) for module in modules for each in module.parameters.values())


def _count(type: TensorType) -> int:
    return prod(type.sizes(1))
